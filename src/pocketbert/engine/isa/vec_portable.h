// Sixteen float lanes in the compiler's generic vectors: any CPU.
//
// Every path computes with sixteen lanes, in the same order, so that all of them give the same bits. The one exception
// is `dot`, the step of long float32 sums: without a fused multiply-add in hardware it rounds the product too.
#pragma once

#include <cstring>

#include "isa/inline.h"

namespace pb::portable {

struct Vector {
  typedef float F __attribute__((vector_size(64)));
  typedef int32_t I __attribute__((vector_size(64)));
  typedef double D __attribute__((vector_size(128)));
  typedef int64_t L __attribute__((vector_size(128)));
  static constexpr int kVectors = 1;    // vectors of a weight panel: 16 columns
  static constexpr int kFloatRows = 2;  // rows of a float32 tile: 8 of the 16 four-lane registers accumulate
  static constexpr int kAttentionRows = 2;

  static PB_INLINE F set(float x) { return F{} + x; }
  static PB_INLINE F zero() { return F{}; }
  static PB_INLINE F load(const float* p) {
    F x;
    std::memcpy(&x, p, sizeof x);
    return x;
  }
  static PB_INLINE void store(float* p, F x) { std::memcpy(p, &x, sizeof x); }
  // The first n lanes; the others are 0, and their memory is not touched.
  static PB_INLINE F load_n(const float* p, Index n) {
    F x{};
    for (Index i = 0; i < n; i++) x[i] = p[i];
    return x;
  }
  static PB_INLINE void store_n(float* p, F x, Index n) {
    for (Index i = 0; i < n; i++) p[i] = x[i];
  }
  static PB_INLINE F from_ints(const int32_t* p) {
    I x;
    std::memcpy(&x, p, sizeof x);
    return __builtin_convertvector(x, F);
  }

  static PB_INLINE F add(F a, F b) { return a + b; }
  static PB_INLINE F sub(F a, F b) { return a - b; }
  static PB_INLINE F mul(F a, F b) { return a * b; }
  static PB_INLINE F div(F a, F b) { return a / b; }

#if defined(__FMA__) || defined(__aarch64__)
  static PB_INLINE F fma(F a, F b, F c) {
    F y;
    for (int i = 0; i < 16; i++) y[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return y;
  }
  static PB_INLINE F dot(F a, F b, F c) { return fma(a, b, c); }
#else
  // a * b + c, rounded once. The product is exact in double; the sum is rounded to odd there, so that rounding it to
  // float gives what rounding the exact sum would (Boldo and Melquiond, 2008).
  __attribute__((noinline)) static F fma(F a, F b, F c) {
    const D product = __builtin_convertvector(a, D) * __builtin_convertvector(b, D);
    const D addend = __builtin_convertvector(c, D);
    const D sum = product + addend;
    const D part = sum - product;
    const D error = (product - (sum - part)) + (addend - part);
    const L bits = __builtin_bit_cast(L, sum);
    const L inexact_and_even = ((error > 0.0) | (error < 0.0)) & ((bits & 1) == 0);
    const L away = (error > 0.0) == (sum > 0.0);  // -1 where the exact sum is farther from 0
    const L step = (away & 1) - (~away & 1);
    const L odd = bits + (inexact_and_even & step);
    return __builtin_convertvector(__builtin_bit_cast(D, odd), F);
  }
  static PB_INLINE F dot(F a, F b, F c) { return a * b + c; }
#endif

  // fma as the step of a long sum.
  static PB_INLINE F chain(F a, F b, F c) { return fma(a, b, c); }

  static PB_INLINE F max(F a, F b) { return a > b ? a : b; }
  static PB_INLINE F min(F a, F b) { return a < b ? a : b; }
  static PB_INLINE F abs(F a) {
    const I bits = __builtin_bit_cast(I, a) & 0x7fffffff;
    return __builtin_bit_cast(F, bits);
  }
  static PB_INLINE F with_sign_of(F magnitude, F sign) {
    const I mask = I{} + 0x7fffffff;
    const I bits = (__builtin_bit_cast(I, magnitude) & mask) | (__builtin_bit_cast(I, sign) & ~mask);
    return __builtin_bit_cast(F, bits);
  }
  // Per lane: a < b ? yes : no.
  static PB_INLINE F pick_less(F a, F b, F yes, F no) { return a < b ? yes : no; }
  // To the nearest whole number, ties to even; for magnitudes below 2^22, which all callers keep to.
  static PB_INLINE F round(F a) {
    const F magic = set(12582912.0f);
    return (a + magic) - magic;
  }
  // a * 2^n for a whole n in -126 .. 127.
  static PB_INLINE F times_power_of_2(F a, F n) {
    const I bits = (__builtin_convertvector(n, I) + 127) << 23;
    return a * __builtin_bit_cast(F, bits);
  }

  // All lanes, halves first: the order that every path keeps.
  static PB_INLINE float sum(F a) {
    float b[8], c[4];
    for (int i = 0; i < 8; i++) b[i] = a[i] + a[i + 8];
    for (int i = 0; i < 4; i++) c[i] = b[i] + b[i + 4];
    return (c[0] + c[2]) + (c[1] + c[3]);
  }
  static PB_INLINE float largest(F a) {
    float x = a[0];
    for (int i = 1; i < 16; i++) x = a[i] > x ? a[i] : x;
    return x;
  }
};

}  // namespace pb::portable
