// Which path this CPU can run.
#pragma once

#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace pb {

// Every path that was built and that this CPU and operating system can run, best first.
std::vector<const Kernels*> available_paths();

// The path of this name, or the best one for an empty name. Throws std::invalid_argument with the names that exist.
const Kernels& choose_path(const std::string& name);

}  // namespace pb
