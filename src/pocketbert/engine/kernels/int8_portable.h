// int8 products in plain C++: sums of 16-bit products, which compilers vectorize with whatever the CPU has.
//
// Activations are kept in 16 bits. Weights keep their order (out, in), padded with zeros:
//
//   o0:   i0 i1 .. in - 1, 0 to a multiple of 16 |
//   o1:   i0 i1 ..                               |
//   ..    0, to a multiple of 16 rows            |
#pragma once

#include "isa/vec_portable.h"
#include "kernels/int8.h"

namespace pb::portable {

struct Int8 : Int8Kernels<Int8> {
  using Vector = portable::Vector;
  using Act = int16_t;
  static constexpr int kRows = 4, kColumns = 16, kGroup = 16;

  static void pack(const int8_t* weight, Index in, Index out, int8_t* panels, int32_t*) {
    for (Index c = 0; c < round_up(out, kColumns); c++)
      for (Index k = 0; k < round_up(in, kGroup); k++)
        *panels++ = k < in && c < out ? weight[c * in + k] : int8_t{0};
  }

  static PB_INLINE void quantize_group(const float* x, float inverse, Act* out) {
    const auto q = Vector::round(Vector::load(x) * inverse);
    for (int i = 0; i < kGroup; i++)
      out[i] = q[i] >= -127.0f && q[i] <= 127.0f ? static_cast<int16_t>(q[i]) : int16_t{0};
  }

  template <int M>
  static PB_INLINE void column_sums(const Act* a, Index in, const int8_t* weight, int32_t (*sums)[kColumns], int c) {
    int32_t sum[M] = {};
    for (Index k = 0; k < in; k++)
      for (int m = 0; m < M; m++) sum[m] += a[m * in + k] * weight[k];
    for (int m = 0; m < M; m++) sums[m][c] = sum[m];
  }

  template <int M, bool kWhole>
  static PB_INLINE void tile(const Act* a, Index in, const Int8Weight& w, const int8_t* panel, const int8_t*, Index,
                             const float* act_scale, const Output& y, Index row, Index column) {
    int32_t sums[M][kColumns];
    for (int c = 0; c < kColumns; c++) column_sums<M>(a, in, panel + c * in, sums, c);
    for (int m = 0; m < M; m++)
      finish_sum<Vector, kWhole>(y, Vector::from_ints(sums[m]), act_scale[row + m], w.scale, row + m, column,
                                 min(kColumns, w.out - column));
  }
};

}  // namespace pb::portable
