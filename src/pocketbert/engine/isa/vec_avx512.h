// Sixteen float lanes as one AVX-512 register. See vec_portable.h for what each function means.
#pragma once

#include <immintrin.h>

#include "isa/inline.h"

namespace pb::avx512 {

struct Vector {
  using F = __m512;
  static constexpr int kVectors = 2;    // vectors of a weight panel: 32 columns
  static constexpr int kFloatRows = 12;  // rows of a float32 tile: 24 of the 32 registers accumulate
  static constexpr int kAttentionRows = 8;

  static PB_INLINE F zero() { return _mm512_setzero_ps(); }
  static PB_INLINE F set(float x) { return _mm512_set1_ps(x); }
  static PB_INLINE F load(const float* p) { return _mm512_loadu_ps(p); }
  static PB_INLINE void store(float* p, F x) { _mm512_storeu_ps(p, x); }
  static PB_INLINE __mmask16 first(Index n) { return static_cast<__mmask16>((1u << n) - 1); }
  static PB_INLINE F load_n(const float* p, Index n) { return _mm512_maskz_loadu_ps(first(n), p); }
  static PB_INLINE void store_n(float* p, F x, Index n) { _mm512_mask_storeu_ps(p, first(n), x); }

  static PB_INLINE F add(F a, F b) { return _mm512_add_ps(a, b); }
  static PB_INLINE F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static PB_INLINE F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static PB_INLINE F div(F a, F b) { return _mm512_div_ps(a, b); }
  static PB_INLINE F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  // fma for long sums. With the intrinsic, GCC 12 keeps one operand of such loops in memory.
  static PB_INLINE F chain(F a, F b, F c) {
    asm("vfmadd231ps %2, %1, %0" : "+v"(c) : "v"(a), "v"(b));
    return c;
  }
  static PB_INLINE F dot(F a, F b, F c) { return chain(a, b, c); }
  static PB_INLINE F max(F a, F b) { return _mm512_max_ps(a, b); }
  static PB_INLINE F min(F a, F b) { return _mm512_min_ps(a, b); }
  static PB_INLINE F abs(F a) { return _mm512_abs_ps(a); }
  static PB_INLINE F with_sign_of(F magnitude, F sign) {
    const __m512i bit = _mm512_set1_epi32(static_cast<int>(0x80000000u));
    return _mm512_castsi512_ps(
        _mm512_ternarylogic_epi32(bit, _mm512_castps_si512(sign), _mm512_castps_si512(magnitude), 0xCA));
  }
  static PB_INLINE F pick_less(F a, F b, F yes, F no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
  }
  static PB_INLINE F round(F a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static PB_INLINE F times_power_of_2(F a, F n) { return _mm512_scalef_ps(a, n); }

  static PB_INLINE float sum(F a) {
    const __m256 b = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    const __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    const __m128 d = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(d, _mm_movehdup_ps(d)));
  }
  static PB_INLINE float largest(F a) { return _mm512_reduce_max_ps(a); }
};

}  // namespace pb::avx512
