// int8 products: what all paths share, so that their integers and roundings are the same.
#pragma once

#include "kernels/gemm_float.h"

namespace pb {

// sum * scale of the row * scale of the column + bias; the last product and the addition round once.
template <class V, bool kWhole>
PB_INLINE void finish_sum(const Output& y, typename V::F sum, float row_scale, const float* scale, Index row,
                          Index column, Index lanes) {
  const float* bias = y.bias + row * y.bias_stride + column;
  const auto x = V::fma(V::mul(sum, V::set(row_scale)), V::load(scale + column), V::load(bias));
  finish<V, kWhole>(y, x, row, column, lanes);
}

// The largest magnitude of a row.
template <class V>
PB_INLINE float row_range(const float* x, Index width) {
  auto a = V::zero(), b = V::zero();
  Index i = 0;
  for (; i + 32 <= width; i += 32) {
    a = V::max(a, V::abs(V::load(x + i)));
    b = V::max(b, V::abs(V::load(x + i + 16)));
  }
  for (; i < width; i += 16) a = V::max(a, V::abs(V::load_n(x + i, min(16, width - i))));
  return V::largest(V::max(a, b));
}

// The int8 functions of a path's table, from the path's own part K: its Vector, the type Act of a quantized activation,
// the rows kRows of a tile, the columns kColumns of a panel, the inputs kGroup to a multiple of which it is padded, of
// which kStep stand side by side for one output, and the functions source_column, quantize_group and tile.
template <class K>
struct Int8Kernels {
  static void pack(const int8_t* weight, Index in, Index out, int8_t* panels, int32_t* offset_sum) {
    const Index padded = round_up(in, K::kGroup);
    for (Index column = 0; column < round_up(out, K::kColumns); column++) {
      int8_t* panel = panels + column / K::kColumns * padded * K::kColumns + column % K::kColumns * K::kStep;
      int32_t sum = 0;
      for (Index at = 0; at < padded; at++) {
        const Index k = at / K::kGroup * K::kGroup + K::source_column(at % K::kGroup);
        const int8_t value = k < in && column < out ? weight[column * in + k] : int8_t{0};
        panel[at / K::kStep * K::kColumns * K::kStep + at % K::kStep] = value;
        sum += value;
      }
      offset_sum[column] = -128 * sum;
    }
  }

  static void quantize(const float* x, Index stride, Index rows, Index width, void* act, float* scale) {
    auto* out = static_cast<typename K::Act*>(act);
    for (Index r = 0; r < rows; r++, x += stride) {
      constexpr float kTiny = 1.17549435e-38f;  // below it, the inverse would overflow: such a row is 0
      const float largest = row_range<typename K::Vector>(x, width);
      const float inverse = largest < kTiny ? 0.0f : 127.0f / largest;
      scale[r] = largest < kTiny ? 0.0f : largest / 127.0f;
      Index k = 0;
      for (; k + K::kGroup <= width; k += K::kGroup, out += K::kGroup) K::quantize_group(x + k, inverse, out);
      if (k < width) {
        float rest[K::kGroup] = {};
        for (Index i = 0; k + i < width; i++) rest[i] = x[k + i];
        K::quantize_group(rest, inverse, out);
        out += K::kGroup;
      }
    }
  }

  // All rows of one panel, in tiles of M rows and then of fewer.
  template <int M, bool kWhole, class Act>
  static PB_INLINE void tiles(const Act* a, Index in, Index rows, Index row, const Int8Weight& w, const int8_t* panel,
                              const int8_t* next, Index lines, const float* act_scale, const Output& y, Index column) {
    for (; row + M <= rows; row += M, next += lines * in * 4)
      K::template tile<M, kWhole>(a + row * in, in, w, panel, next, lines, act_scale, y, row, column);
    if constexpr (M > 1) tiles<M / 2, kWhole>(a, in, rows, row, w, panel, next, lines, act_scale, y, column);
  }

  // Panels outside, rows inside: a panel stays in L1 while it is multiplied with all rows.
  static void gemm(const void* act, const float* act_scale, Index rows, const Int8Weight& weight,
                   const Output& output) {
    const Int8Weight w = weight;  // copies, which no store can alter
    const Output y = output;
    const auto* a = static_cast<const typename K::Act*>(act);
    const Index in = round_up(w.in, K::kGroup);
    const Index steps = max(1, rows / K::kRows);
    const Index lines = (8 + steps - 1) / steps;  // for AVX-512, which has in / 2 cache lines a panel and in / 16 steps
    const int8_t* panel = w.panels;
    for (Index column = 0; column < w.out; column += K::kColumns) {
      const int8_t* next = panel + in * K::kColumns;
      if (column + K::kColumns <= w.out)
        tiles<K::kRows, true>(a, in, rows, 0, w, panel, next, lines, act_scale, y, column);
      else
        tiles<K::kRows, false>(a, in, rows, 0, w, panel, next, lines, act_scale, y, column);
      finish_panel<typename K::Vector>(y, rows, column, min(K::kColumns, w.out - column));
      panel = next;
    }
  }
};

}  // namespace pb
