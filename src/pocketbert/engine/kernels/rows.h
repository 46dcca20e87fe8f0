// Operations on whole rows: activations, sums, layer normalization.
#pragma once

#include "kernels/kernels.h"
#include "isa/vec_math.h"

namespace pb {

// y[i] = f(x[i]) for one row; f is given sixteen lanes and the column of the first.
template <class V, class Function>
PB_INLINE void map_row(const float* x, float* y, Index width, Function f) {
  Index i = 0;
  for (; i + 16 <= width; i += 16) V::store(y + i, f(V::load(x + i), i));
  if (i < width) V::store_n(y + i, f(V::load_n(x + i, width - i), i), width - i);
}

template <class V, class Function>
PB_INLINE void map_rows(float* x, Index stride, Index rows, Index width, Function f) {
  for (Index r = 0; r < rows; r++) {
    float* row = x + r * stride;
    map_row<V>(row, row, width, [&](typename V::F v, int) PB_LAMBDA { return f(v); });
  }
}

template <class V>
void activate(Activation kind, float* x, Index stride, Index rows, Index width) {
  using F = typename V::F;
  switch (kind) {
    case Activation::none: return;
    case Activation::relu6:
      return map_rows<V>(x, stride, rows, width,
                         [](F v) PB_LAMBDA { return V::min(V::set(6.0f), V::max(V::zero(), v)); });
    case Activation::gelu: return map_rows<V>(x, stride, rows, width, [](F v) PB_LAMBDA { return gelu<V>(v); });
    case Activation::gelu_new:
      return map_rows<V>(x, stride, rows, width, [](F v) PB_LAMBDA { return gelu_tanh<V>(v); });
    case Activation::silu: return map_rows<V>(x, stride, rows, width, [](F v) PB_LAMBDA { return silu<V>(v); });
    case Activation::tanh: return map_rows<V>(x, stride, rows, width, [](F v) PB_LAMBDA { return tanh<V>(v); });
  }
}

template <class V>
void add(float* x, Index stride, const float* residual, Index residual_stride, const float* carry, Index rows,
         Index width) {
  for (Index r = 0; r < rows; r++, x += stride, residual += residual_stride)
    map_row<V>(x, x, width, [&](typename V::F v, Index i) PB_LAMBDA {
      const Index n = min(16, width - i);
      const auto old = V::load_n(residual + i, n);
      return carry ? V::fma(V::load_n(carry + i, n), old, v) : V::add(v, old);
    });
}

template <class V>
void layer_norm(float* x, Index stride, Index rows, Index width, const float* scale, const float* bias, float eps) {
  const Index whole = width / 16 * 16, rest = width - whole;
  for (Index r = 0; r < rows; r++, x += stride) {
    auto total = V::zero();
    for (Index i = 0; i < whole; i += 16) total = V::add(total, V::load(x + i));
    if (rest) total = V::add(total, V::load_n(x + whole, rest));
    const auto mean = V::set(V::sum(total) / static_cast<float>(width));

    auto squares = V::zero();  // a second pass: E[x^2] - E[x]^2 would cancel
    for (Index i = 0; i < whole; i += 16) {
      const auto d = V::sub(V::load(x + i), mean);
      squares = V::fma(d, d, squares);
    }
    if (rest) {
      float centered[16] = {};
      V::store_n(centered, V::sub(V::load_n(x + whole, rest), mean), rest);
      const auto d = V::load(centered);
      squares = V::fma(d, d, squares);
    }
    const auto factor = V::set(1.0f / __builtin_sqrtf(V::sum(squares) / static_cast<float>(width) + eps));
    map_row<V>(x, x, width, [&](typename V::F v, Index i) PB_LAMBDA {
      const Index n = min(16, width - i);
      return V::fma(V::mul(V::sub(v, mean), factor), V::load_n(scale + i, n), V::load_n(bias + i, n));
    });
  }
}

template <class V>
void affine(const float* x, Index stride, float* y, Index y_stride, Index rows, Index width, const float* scale,
            const float* shift) {
  for (Index r = 0; r < rows; r++, x += stride, y += y_stride)
    map_row<V>(x, y, width, [&](typename V::F v, Index i) PB_LAMBDA {
      const Index n = min(16, width - i);
      return V::fma(v, V::load_n(scale + i, n), V::load_n(shift + i, n));
    });
}

}  // namespace pb
