// What the int8 product alone reaches on this CPU: the yardstick of benchmarks/runtime.py.
#pragma once

#include "kernels/kernels.h"

namespace pb {

// Operations a second (two for each multiply-add) of one thread, best of several runs of (rows, in) x (in, out).
double int8_rate(const Kernels& kernels, int rows, int in, int out);

}  // namespace pb
