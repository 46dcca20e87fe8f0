// int8 products in plain C++: sums of 16-bit products, which compilers vectorize with whatever the CPU has.
//
// Activations are kept in 16 bits. Weights keep their order (out, in), padded with zeros:
//
//   o0:   i0 i1 .. in - 1, 0 to a multiple of 16 |
//   o1:   i0 i1 ..                               |
//   ..    0, to a multiple of 16 rows            |
#pragma once

#include "isa/vec_portable.h"
#include "kernels/int8_finish.h"

namespace pb::portable {

constexpr int kRows = 4, kColumns = 16, kGroup = 16;

inline void pack(const int8_t* weight, Index in, Index out, int8_t* panels, int32_t*) {
  for (Index c = 0; c < round_up(out, kColumns); c++)
    for (Index k = 0; k < round_up(in, kGroup); k++)
      *panels++ = k < in && c < out ? weight[c * in + k] : int8_t{0};
}

inline void quantize(const float* x, Index stride, Index rows, Index width, void* act, float* scale) {
  auto* out = static_cast<int16_t*>(act);
  for (Index r = 0; r < rows; r++, x += stride) {
    const RowScale s = row_scale(row_range<Vector>(x, width));
    scale[r] = s.scale;
    for (Index k = 0; k < width; k += kGroup, out += kGroup) {
      const auto q = Vector::round(Vector::load_n(x + k, min(16, width - k)) * s.inverse);
      for (int i = 0; i < kGroup; i++)
        out[i] = q[i] >= -127.0f && q[i] <= 127.0f ? static_cast<int16_t>(q[i]) : int16_t{0};
    }
  }
}

template <int M>
PB_INLINE void column_sums(const int16_t* a, Index in, const int8_t* weight, int32_t (*sums)[kColumns], Index column) {
  int32_t sum[M] = {};
  for (Index k = 0; k < in; k++)
    for (int m = 0; m < M; m++) sum[m] += a[m * in + k] * weight[k];
  for (int m = 0; m < M; m++) sums[m][column] = sum[m];
}

template <int M>
PB_INLINE void tiles(const int16_t* a, Index in, Index rows, Index row, const Int8Weight& w, const float* act_scale,
                     const Output& y, Index column) {
  const Index lanes = min(kColumns, w.out - column);
  for (; row + M <= rows; row += M) {
    int32_t sums[M][kColumns];
    for (int c = 0; c < kColumns; c++)
      column_sums<M>(a + row * in, in, w.panels + (column + c) * in, sums, c);
    for (int m = 0; m < M; m++)
      finish_sum<Vector, false>(y, Vector::from_ints(sums[m]), act_scale[row + m], w.scale, row + m, column, lanes);
  }
  if constexpr (M > 1) tiles<M / 2>(a, in, rows, row, w, act_scale, y, column);
}

inline void gemm(const void* act, const float* act_scale, Index rows, const Int8Weight& weight, const Output& output) {
  const Int8Weight w = weight;  // copies, which no store can alter
  const Output y = output;
  for (Index column = 0; column < w.out; column += kColumns) {
    tiles<kRows>(static_cast<const int16_t*>(act), round_up(w.in, kGroup), rows, 0, w, act_scale, y, column);
    finish_panel<Vector>(y, rows, column, min(kColumns, w.out - column));
  }
}

}  // namespace pb::portable
