// int8 products in plain C++: sums of 16-bit products, which compilers turn into whatever the CPU has for them.
#pragma once

#include "kernels/int8_finish.h"
#include "isa/vec_portable.h"

namespace pb::plain {

constexpr int kRows = 4, kColumns = 16, kGroup = 16;

inline size_t bytes(int in, int out) {
  return static_cast<size_t>(round_up(in, kGroup)) * static_cast<size_t>(round_up(out, kColumns));
}

// Weights lie [out][in], both padded with zeros.
inline void pack(const int8_t* weight, int in, int out, int8_t* panels, int32_t*) {
  for (int c = 0; c < round_up(out, kColumns); c++)
    for (int k = 0; k < round_up(in, kGroup); k++)
      *panels++ = k < in && c < out ? weight[static_cast<size_t>(c) * in + k] : int8_t{0};
}

inline void quantise(const float* x, int stride, int rows, int width, void* act, float* scale) {
  auto* out = static_cast<int16_t*>(act);
  for (int r = 0; r < rows; r++, x += stride) {
    const RowScale s = row_scale(row_range<Portable>(x, width));
    scale[r] = s.scale;
    for (int k = 0; k < width; k += kGroup, out += kGroup) {
      const auto q = Portable::round(Portable::load_n(x + k, least(16, width - k)) * s.inverse);
      for (int i = 0; i < kGroup; i++) out[i] = q[i] >= -127.0f && q[i] <= 127.0f ? static_cast<int16_t>(q[i]) : int16_t{0};
    }
  }
}

template <int M>
PB_INLINE void column_sums(const int16_t* a, int in, const int8_t* weight, int32_t (*sums)[kColumns], int column) {
  int32_t sum[M] = {};
  for (int k = 0; k < in; k++)
    for (int m = 0; m < M; m++) sum[m] += a[static_cast<size_t>(m) * in + k] * weight[k];
  for (int m = 0; m < M; m++) sums[m][column] = sum[m];
}

template <int M>
PB_INLINE void tiles(const int16_t* a, int in, int rows, int row, const Int8Weight& w, const float* act_scale,
                     const Output& y, int column) {
  const int lanes = least(kColumns, w.out - column);
  for (; row + M <= rows; row += M) {
    int32_t sums[M][kColumns];
    for (int c = 0; c < kColumns; c++)
      column_sums<M>(a + static_cast<size_t>(row) * in, in, w.panels + static_cast<size_t>(column + c) * in, sums, c);
    for (int m = 0; m < M; m++)
      finish_sum<Portable, false>(y, Portable::from_ints(sums[m]), act_scale[row + m], w.scale, row + m, column, lanes);
  }
  if constexpr (M > 1) tiles<M / 2>(a, in, rows, row, w, act_scale, y, column);
}

inline void gemm(const void* act, const float* act_scale, int rows, const Int8Weight& weight, const Output& output) {
  const Int8Weight w = weight;  // copies, which no store can alter
  const Output y = output;
  for (int column = 0; column < w.out; column += kColumns) {
    tiles<kRows>(static_cast<const int16_t*>(act), round_up(w.in, kGroup), rows, 0, w, act_scale, y, column);
    finish_panel<Portable>(y, rows, column, least(kColumns, w.out - column));
  }
}

}  // namespace pb::plain
