// Elementary functions on sixteen lanes, each within about 2e-7 of the true value, the same bits on every path.
#pragma once

#include "isa/inline.h"

namespace pb {

// 2^x for x in -126 .. 127; below that it is 2^-126, which no sum notices.
template <class V>
PB_INLINE typename V::F exp2(typename V::F x) {
  x = V::min(V::set(127.0f), V::max(V::set(-126.0f), x));
  const auto whole = V::round(x);
  const auto f = V::sub(x, whole);  // -0.5 .. 0.5; the polynomial is a Chebyshev fit, relative error 2e-8
  auto p = V::set(0.00015469732170458883f);
  p = V::fma(p, f, V::set(0.0013400432653725147f));
  p = V::fma(p, f, V::set(0.00961802527308464f));
  p = V::fma(p, f, V::set(0.05550327152013779f));
  p = V::fma(p, f, V::set(0.24022650718688965f));
  p = V::fma(p, f, V::set(0.6931471824645996f));
  p = V::fma(p, f, V::set(1.0f));
  return V::times_power_of_2(p, whole);
}

constexpr float kLog2E = 1.44269504f;

template <class V>
PB_INLINE typename V::F exp(typename V::F x) {
  return exp2<V>(V::mul(x, V::set(kLog2E)));
}

// erf(x), absolute error 1.5e-7: Abramowitz and Stegun, formula 7.1.26.
template <class V>
PB_INLINE typename V::F erf(typename V::F x) {
  const auto z = V::abs(x);
  const auto one = V::set(1.0f);
  const auto t = V::div(one, V::fma(z, V::set(0.3275911f), one));
  auto p = V::set(1.061405429f);
  p = V::fma(p, t, V::set(-1.453152027f));
  p = V::fma(p, t, V::set(1.421413741f));
  p = V::fma(p, t, V::set(-0.284496736f));
  p = V::fma(p, t, V::set(0.254829592f));
  const auto tail = V::mul(V::mul(p, t), exp<V>(V::sub(V::zero(), V::mul(z, z))));
  return V::with_sign_of(V::sub(one, tail), x);
}

template <class V>
PB_INLINE typename V::F tanh(typename V::F x) {
  const auto z = V::abs(x);
  const auto one = V::set(1.0f);
  const auto large = V::sub(one, V::div(V::set(2.0f), V::add(exp<V>(V::add(z, z)), one)));
  const auto s = V::mul(x, x);  // for |x| < 0.625 a Chebyshev fit of tanh(x) / x, relative error 1e-8
  auto p = V::set(-0.005473604891449213f);
  p = V::fma(p, s, V::set(0.020420853048563004f));
  p = V::fma(p, s, V::set(-0.05366738513112068f));
  p = V::fma(p, s, V::set(0.13330447673797607f));
  p = V::fma(p, s, V::set(-0.3333323001861572f));
  p = V::fma(p, s, one);
  return V::pick_less(z, V::set(0.625f), V::mul(x, p), V::with_sign_of(large, x));
}

template <class V>
PB_INLINE typename V::F gelu(typename V::F x) {
  const auto half = V::mul(V::set(0.5f), x);
  return V::fma(half, erf<V>(V::mul(x, V::set(0.70710678f))), half);
}

template <class V>
PB_INLINE typename V::F gelu_tanh(typename V::F x) {
  const auto cube = V::mul(V::mul(x, x), x);
  const auto inner = V::mul(V::set(0.79788456f), V::fma(cube, V::set(0.044715f), x));
  const auto half = V::mul(V::set(0.5f), x);
  return V::fma(half, tanh<V>(inner), half);
}

template <class V>
PB_INLINE typename V::F silu(typename V::F x) {
  return V::div(x, V::add(V::set(1.0f), exp<V>(V::sub(V::zero(), x))));
}

}  // namespace pb
