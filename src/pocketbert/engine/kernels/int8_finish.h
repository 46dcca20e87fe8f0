// From integer sums to float32, the same on every path.
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

struct RowScale {
  float scale, inverse;
};

PB_INLINE RowScale row_scale(float largest) {
  constexpr float kTiny = 1.17549435e-38f;  // below it, the inverse would overflow: such a row is 0
  if (largest < kTiny) return {0.0f, 0.0f};
  return {largest / 127.0f, 127.0f / largest};
}

}  // namespace pb
