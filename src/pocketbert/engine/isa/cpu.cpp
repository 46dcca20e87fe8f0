#include "isa/cpu.h"

#include <stdexcept>

#if defined(PB_X86)
#include <cpuid.h>
#endif
#if defined(PB_X86) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace pb {
namespace {

#if defined(PB_X86)
bool has_avxvnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4) != 0;
}

// AMX for int8 and bfloat16, and the kernel's permission to use tile registers, which holds for the whole process.
bool amx_allowed() {
#if defined(__linux__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kWanted = 1u << 22 | 1u << 24 | 1u << 25;  // AMX-BF16, AMX-TILE, AMX-INT8
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & kWanted) != kWanted) return false;
  if (!__builtin_cpu_supports("avx512bf16")) return false;
  constexpr int kRequestPermission = 0x1023, kTileData = 18;  // Linux, Documentation/arch/x86/xstate.rst
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}
#endif

}  // namespace

std::vector<const Kernels*> available_paths() {
  std::vector<const Kernels*> paths;
#if defined(PB_X86)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni")) {
    static const bool amx = amx_allowed();
    if (amx) paths.push_back(&kAmx);
    paths.push_back(&kAvx512);
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    if (has_avxvnni()) paths.push_back(&kAvxVnni);
    paths.push_back(&kAvx2);
  }
#endif
  paths.push_back(&kPortable);
  return paths;
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
