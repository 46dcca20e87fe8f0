// int8 products with AVX2, which has no exact byte product: activations are kept in 16 bits and vpmaddwd adds pairs.
//
// (vpmaddubsw would take bytes at twice the speed, but saturates.) Weights are packed in pairs of inputs:
//
//   panel of 16 columns        2 bytes each: the weights of two inputs for one output
//   +------------------------------------+
//   | inputs 0, 1:  o0  o1  o2  ..  o15  |  one step: two broadcast activations times one line of 32 bytes
//   | inputs 2, 3:  o0  o1  o2  ..  o15  |
//   |  ..                                |  zeros beyond the weight, to a multiple of 16 inputs
//   +------------------------------------+
#pragma once

#include "isa/vec_avx2.h"
#include "kernels/int8.h"

namespace pb::avx2 {

struct Int8 : Int8Kernels<Int8> {
  using Vector = avx2::Vector;
  using Act = int16_t;
  static constexpr int kRows = 4, kColumns = 16, kGroup = 16, kStep = 2;
  static PB_INLINE Index source_column(Index at) { return at; }

  static PB_INLINE void quantize_group(const float* x, float inverse, Act* out) {
    const Vector::F q = Vector::mul(Vector::load(x), Vector::set(inverse));
    const __m256i packed = _mm256_packs_epi32(_mm256_cvtps_epi32(q.lo), _mm256_cvtps_epi32(q.hi));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_permute4x64_epi64(packed, 0xD8));
  }

  template <int M, bool kWhole>
  static PB_INLINE void tile(const Act* a, Index in, const Int8Weight& w, const int8_t* panel, const int8_t*, Index,
                             const float* act_scale, const Output& y, Index row, Index column) {
    __m256i lo[M], hi[M];
    PB_UNROLL for (int m = 0; m < M; m++) lo[m] = hi[m] = _mm256_setzero_si256();
    for (Index k = 0; k < in; k += 2, panel += 2 * kColumns) {
      const __m256i b0 = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(panel)));
      const __m256i b1 = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(panel + 16)));
      PB_UNROLL for (int m = 0; m < M; m++) {
        int32_t two;
        __builtin_memcpy(&two, a + m * in + k, 4);
        const __m256i x = _mm256_set1_epi32(two);
        lo[m] = _mm256_add_epi32(lo[m], _mm256_madd_epi16(x, b0));
        hi[m] = _mm256_add_epi32(hi[m], _mm256_madd_epi16(x, b1));
      }
    }
    PB_UNROLL for (int m = 0; m < M; m++)
      finish_sum<Vector, kWhole>(y, {_mm256_cvtepi32_ps(lo[m]), _mm256_cvtepi32_ps(hi[m])}, act_scale[row + m], w.scale,
                                 row + m, column, min(16, w.out - column));
  }
};

}  // namespace pb::avx2
