// Small helpers for code that is compiled once per instruction set.
//
// A translation unit built with AVX-512 flags must not leave an out-of-line copy of a shared function (std::max, say)
// where the linker could pick it for the portable path. So those units use only what is forced inline here, templates
// that carry the instruction set in their type, and builtins.
#pragma once

#include <cstddef>
#include <cstdint>

#define PB_INLINE inline __attribute__((always_inline))

namespace pb {

// Every count, position, stride and size in bytes. `int` remains for what never indexes memory: threads and blocks, and
// registers, which are counted at compile time.
using Index = std::ptrdiff_t;

template <class T>
constexpr Index kSize = sizeof(T);

PB_INLINE constexpr Index min(Index a, Index b) { return a < b ? a : b; }
PB_INLINE constexpr Index max(Index a, Index b) { return a > b ? a : b; }
PB_INLINE constexpr Index round_up(Index value, Index step) { return (value + step - 1) / step * step; }

}  // namespace pb

// Loops over accumulators must be unrolled, or the accumulators live in memory.
#if defined(__clang__)
#define PB_UNROLL _Pragma("unroll")
#else
#define PB_UNROLL _Pragma("GCC unroll 32")
#endif

// Inlined into its callers, GCC 12 runs out of registers and keeps the loops' operands in memory.
#define PB_NOINLINE __attribute__((noinline))

#define PB_LAMBDA __attribute__((always_inline))
