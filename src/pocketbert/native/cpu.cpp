#include "cpu.h"

#include <stdexcept>

namespace pb {

std::vector<const Kernels*> available_paths() {
  std::vector<const Kernels*> found;
#if defined(PB_X86)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni"))
    found.push_back(&kAvx512);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(&kAvx2);
#endif
  found.push_back(&kPortable);
  return found;
}

const Kernels& choose_path(const std::string& name) {
  const auto paths = available_paths();
  std::string names;
  for (const Kernels* path : paths) {
    if (name.empty() || name == path->name) return *path;
    names += (names.empty() ? "" : ", ") + std::string(path->name);
  }
  throw std::invalid_argument("path '" + name + "' is unknown or not supported by this CPU; it runs: " + names);
}

}  // namespace pb
