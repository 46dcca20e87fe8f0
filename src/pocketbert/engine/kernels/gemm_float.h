// float32 products: a tile of rows x one panel of columns is accumulated in registers over all input columns.
//
// Each output is one chain of multiply-adds in the order of the input columns, starting from the bias, so it depends
// neither on the tile's height nor on its place. A panel has 16 columns, with AVX-512 32:
//
//   weight (out, in), row-major        panels, in the order in which a tile reads them
//                                      +----------------------------------------+
//     o0:  i0 i1 i2 ..                 | panel 0   i0: o0 o1 .. o15             |  one step: a broadcast input
//     o1:  i0 i1 i2 ..                 |           i1: o0 o1 .. o15             |  times one line
//     o2:  ..                          |           ..                           |
//                                      | panel 1   i0: o16 .. o31, 0 beyond out |
//                                      +----------------------------------------+
#pragma once

#include <cstring>

#include "kernels/rows.h"

namespace pb {

template <class V>
void pack_float(const float* weight, Index in, Index out, float* panels) {
  constexpr int kColumns = 16 * V::kVectors;
  for (Index column = 0; column < out; column += kColumns)
    for (Index k = 0; k < in; k++)
      for (int c = 0; c < kColumns; c++)
        *panels++ = column + c < out ? weight[(column + c) * in + k] : 0.0f;
}

// Finish one vector of a row: floor, residual, store; `lanes` of it exist.
template <class V, bool kWhole>
PB_INLINE void finish(const Output& y, typename V::F x, Index row, Index column, Index lanes) {
  if (!kWhole && lanes <= 0) return;
  x = V::max(V::set(y.floor), x);  // in this order a NaN stays
  float* out = y.out + row * y.out_stride + column;
  if (y.residual) {
    const float* r = y.residual + row * y.residual_stride + column;
    x = V::add(x, kWhole ? V::load(r) : V::load_n(r, lanes));
  }
  if (kWhole)
    V::store(out, x);
  else
    V::store_n(out, x, lanes);
}

// The activation of a finished panel.
template <class V>
PB_INLINE void finish_panel(const Output& y, Index rows, Index column, Index columns) {
  if (y.after != Activation::none) activate<V>(y.after, y.out + column, y.out_stride, rows, columns);
}

constexpr int kPrefetchSteps = 8;  // prefetch distance into L1, in input columns; the weights are already in L2

// Each step also prefetches kLines cache lines of the next panel, at `next`, into L2 and moves on by `advance`.
template <class V, int M, bool kWhole, bool kFused, int kLines>
PB_NOINLINE void float_tile(const float* a, Index stride, const float* w, Index in, const float* next, Index advance,
                            const Output& y, Index row, Index column, Index columns) {
  constexpr int N = V::kVectors;
  typename V::F sum[M][N];
  PB_UNROLL for (int m = 0; m < M; m++) {
    const float* bias = y.bias + (row + m) * y.bias_stride + column;
    PB_UNROLL for (int n = 0; n < N; n++) sum[m][n] = V::load(bias + 16 * n);
  }
  for (Index k = 0; k < in; k++, w += 16 * N) {
    PB_UNROLL for (int i = 0; i < kLines; i++) __builtin_prefetch(next + 16 * i, 0, 2);
    PB_UNROLL for (int n = 0; n < N; n++) __builtin_prefetch(w + 16 * N * kPrefetchSteps + 16 * n, 0, 3);
    next += advance;
    typename V::F b[N];
    PB_UNROLL for (int n = 0; n < N; n++) b[n] = V::load(w + 16 * n);
    PB_UNROLL for (int m = 0; m < M; m++) {
      const auto x = V::set((a + m * stride)[k]);
      PB_UNROLL for (int n = 0; n < N; n++)
        sum[m][n] = kFused ? V::chain(x, b[n], sum[m][n]) : V::dot(x, b[n], sum[m][n]);
    }
  }
  PB_UNROLL for (int m = 0; m < M; m++)
    PB_UNROLL for (int n = 0; n < N; n++)
      finish<V, kWhole>(y, sum[m][n], row + m, column + 16 * n, min(16, columns - 16 * n));
}

// All rows of one panel, in tiles of M rows and then of fewer. The first tiles prefetch the next panel: one line per
// step, or all of it where there is a single tile.
template <class V, int M, bool kWhole, bool kFused, int kLines>
PB_INLINE void float_rows(const float* a, Index stride, Index rows, Index row, const float* w, Index in,
                          const float* next, const Output& y, Index column, Index columns) {
  constexpr bool kEven = M == 12;  // 16 rows are better cut in two
  const float* end = w + in * 32 * V::kVectors;
  for (; row + M <= rows && !(kEven && rows - row == 16); row += M) {
    const Index advance = next < end ? 16 * kLines : 0;
    float_tile<V, M, kWhole, kFused, kLines>(a + row * stride, stride, w, in, next, advance, y, row, column, columns);
    next += advance * in;
  }
  if constexpr (M > 1)
    float_rows<V, kEven ? 8 : M / 2, kWhole, kFused, kLines>(a, stride, rows, row, w, in, next, y, column, columns);
}

template <class V, bool kWhole, bool kFused>
PB_INLINE void float_panel(const float* a, Index stride, Index rows, const float* w, Index in, const Output& y,
                           Index column, Index columns) {
  const float* next = w + in * 16 * V::kVectors;
  if (rows > V::kFloatRows)
    float_rows<V, V::kFloatRows, kWhole, kFused, 1>(a, stride, rows, 0, w, in, next, y, column, columns);
  else
    float_rows<V, V::kFloatRows, kWhole, kFused, V::kVectors>(a, stride, rows, 0, w, in, next, y, column, columns);
}

// kFused: multiply-adds round once on every path, emulated where the CPU has none. The outlier columns of int8 products
// are computed so, since int8 gives the same bits on every path.
template <class V, bool kFused>
void gemm_float(const float* a, Index stride, Index rows, const FloatWeight& weight, const Output& output) {
  const FloatWeight w = weight;  // copies, which no store can alter
  const Output y = output;
  constexpr int kColumns = 16 * V::kVectors;
  const float* panel = w.panels;
  for (Index column = 0; column < w.out; column += kColumns, panel += w.in * kColumns) {
    if (column + kColumns <= w.out)
      float_panel<V, true, kFused>(a, stride, rows, panel, w.in, y, column, kColumns);
    else
      float_panel<V, false, kFused>(a, stride, rows, panel, w.in, y, column, w.out - column);
    finish_panel<V>(y, rows, column, min(kColumns, w.out - column));
  }
}

}  // namespace pb
