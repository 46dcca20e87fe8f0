// float32 products: a tile of rows x one panel of columns stays in registers over the whole sum.
//
// Each output is one chain of multiply-adds in the order of the input columns, starting from the bias, so it depends
// neither on the tile's height nor on its place.
#pragma once

#include <cstring>

#include "kernels/rows.h"

namespace pb {

template <class V>
void pack_float(const float* weight, int in, int out, float* panels) {
  constexpr int kColumns = 16 * V::kVectors;
  for (int column = 0; column < out; column += kColumns)
    for (int k = 0; k < in; k++)
      for (int c = 0; c < kColumns; c++)
        *panels++ = column + c < out ? weight[static_cast<size_t>(column + c) * in + k] : 0.0f;
}

// Finish one vector of a row: floor, residual, store; `lanes` of it exist.
template <class V, bool kWhole>
PB_INLINE void finish(const Output& y, typename V::F x, int row, int column, int lanes) {
  if (!kWhole && lanes <= 0) return;
  x = V::max(V::set(y.floor), x);  // in this order a NaN stays
  float* out = y.out + static_cast<size_t>(row) * y.out_stride + column;
  if (y.residual) {
    const float* r = y.residual + static_cast<size_t>(row) * y.residual_stride + column;
    x = V::add(x, kWhole ? V::load(r) : V::load_n(r, lanes));
  }
  if (kWhole)
    V::store(out, x);
  else
    V::store_n(out, x, lanes);
}

// Activations that are worth a call of their own.
template <class V>
PB_INLINE void finish_panel(const Output& y, int rows, int column, int columns) {
  if (y.after != Activation::linear) activate<V>(y.after, y.out + column, y.out_stride, rows, columns);
}

constexpr int kSoon = 8;  // steps ahead for which the first cache is asked for weights; the second has them

// `next` is what comes after this panel; each step asks the cache for kLines lines there and goes on by `advance`.
template <class V, int M, bool kWhole, bool kFused, int kLines>
PB_APART_FUNCTION void float_tile(const float* a, int stride, const float* w, int in, const float* next, int advance,
                                  const Output& y, int row, int column, int columns) {
  constexpr int N = V::kVectors;
  typename V::F sum[M][N];
  PB_UNROLL for (int m = 0; m < M; m++) {
    const float* bias = y.bias + static_cast<size_t>(row + m) * y.bias_stride + column;
    PB_UNROLL for (int n = 0; n < N; n++) sum[m][n] = V::load(bias + 16 * n);
  }
  for (int k = 0; k < in; k++, w += 16 * N) {
    PB_UNROLL for (int i = 0; i < kLines; i++) __builtin_prefetch(next + 16 * i, 0, 2);
    PB_UNROLL for (int n = 0; n < N; n++) __builtin_prefetch(w + 16 * N * kSoon + 16 * n, 0, 3);
    next += advance;
    typename V::F b[N];
    PB_UNROLL for (int n = 0; n < N; n++) b[n] = V::load(w + 16 * n);
    PB_UNROLL for (int m = 0; m < M; m++) {
      const auto x = V::set(a[static_cast<size_t>(m) * stride + k]);
      PB_UNROLL for (int n = 0; n < N; n++) sum[m][n] = kFused ? V::chain(x, b[n], sum[m][n]) : V::dot(x, b[n], sum[m][n]);
    }
  }
  PB_UNROLL for (int m = 0; m < M; m++)
    PB_UNROLL for (int n = 0; n < N; n++)
      finish<V, kWhole>(y, sum[m][n], row + m, column + 16 * n, least(16, columns - 16 * n));
}

// All rows of one panel, in tiles of M rows and then of fewer. The first tiles fetch the next panel, a line a step each,
// or one tile fetches all of it.
template <class V, int M, bool kWhole, bool kFused, int kLines>
PB_INLINE void float_rows(const float* a, int stride, int rows, int row, const float* w, int in, const float* next,
                          const Output& y, int column, int columns) {
  constexpr bool kEven = M == 12;  // 16 rows are better cut in two
  const float* end = w + static_cast<size_t>(in) * 32 * V::kVectors;
  for (; row + M <= rows && !(kEven && rows - row == 16); row += M) {
    const int advance = next < end ? 16 * kLines : 0;
    float_tile<V, M, kWhole, kFused, kLines>(a + static_cast<size_t>(row) * stride, stride, w, in, next, advance, y, row,
                                             column, columns);
    next += static_cast<size_t>(advance) * in;
  }
  if constexpr (M > 1)
    float_rows<V, kEven ? 8 : M / 2, kWhole, kFused, kLines>(a, stride, rows, row, w, in, next, y, column, columns);
}

template <class V, bool kWhole, bool kFused>
PB_INLINE void float_panel(const float* a, int stride, int rows, const float* w, int in, const Output& y, int column,
                           int columns) {
  const float* next = w + static_cast<size_t>(in) * 16 * V::kVectors;
  if (rows > V::kFloatRows)
    float_rows<V, V::kFloatRows, kWhole, kFused, 1>(a, stride, rows, 0, w, in, next, y, column, columns);
  else
    float_rows<V, V::kFloatRows, kWhole, kFused, V::kVectors>(a, stride, rows, 0, w, in, next, y, column, columns);
}

// kFused: the same bits on every path, however slow; what the int8 products add for outlier columns.
template <class V, bool kFused>
void gemm_float(const float* a, int stride, int rows, const FloatWeight& weight, const Output& output) {
  const FloatWeight w = weight;  // copies, which no store can alter
  const Output y = output;
  constexpr int kColumns = 16 * V::kVectors;
  const float* panel = w.panels;
  for (int column = 0; column < w.out; column += kColumns, panel += static_cast<size_t>(w.in) * kColumns) {
    if (column + kColumns <= w.out)
      float_panel<V, true, kFused>(a, stride, rows, panel, w.in, y, column, kColumns);
    else
      float_panel<V, false, kFused>(a, stride, rows, panel, w.in, y, column, w.out - column);
    finish_panel<V>(y, rows, column, least(kColumns, w.out - column));
  }
}

}  // namespace pb
