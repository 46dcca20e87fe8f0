// int8 products with AVX-VNNI, for CPUs that have it without AVX-512: int8_avx512.h on registers of half the width.
//
// Activations are stored as value + 128; the sums start at -128 times the sum of each column's weights. Weights are
// packed in fours of inputs:
//
//   panel of 16 columns              4 bytes each: the weights of four inputs for one output
//   +---------------------------------------+
//   | inputs 0 .. 3:  o0  o1  o2  ..  o15   |  one step: four broadcast activations times one line of 64 bytes
//   | inputs 4 .. 7:  o0  o1  o2  ..  o15   |
//   |  ..                                   |  zeros beyond the weight, to a multiple of 32 inputs
//   +---------------------------------------+
#pragma once

#include "isa/vec_avx2.h"
#include "kernels/int8.h"

namespace pb::avxvnni {

// With the intrinsic, GCC 12 copies every accumulator in each step.
PB_INLINE __m256i multiply_add(__m256i sum, __m256i x, __m256i b) {
  asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(x), "x"(b));
  return sum;
}

struct Int8 : Int8Kernels<Int8> {
  using Vector = avx2::Vector;
  using Act = uint8_t;
  static constexpr int kRows = 6, kColumns = 16, kGroup = 32, kStep = 4;
  static PB_INLINE Index source_column(Index at) { return at; }

  static PB_INLINE void quantize_group(const float* x, float inverse, Act* out) {
    __m256i q[4];
    PB_UNROLL for (int i = 0; i < 4; i++)
      q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), _mm256_set1_ps(inverse)));
    const __m256i s = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    const __m256i in_order = _mm256_permutevar8x32_epi32(s, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    const __m256i offset = _mm256_xor_si256(in_order, _mm256_set1_epi8(static_cast<char>(0x80)));  // + 128
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), offset);
  }

  template <int M, bool kWhole>
  static PB_NOINLINE void tile(const Act* a, Index in, const Int8Weight& w, const int8_t* panel, const int8_t*, Index,
                               const float* act_scale, const Output& y, Index row, Index column) {
    const auto load = [](const void* p) PB_LAMBDA { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); };
    const __m256i start[2] = {load(w.offset_sum + column), load(w.offset_sum + column + 8)};
    __m256i sum[M][2];
    PB_UNROLL for (int m = 0; m < M; m++)
      PB_UNROLL for (int n = 0; n < 2; n++) sum[m][n] = start[n];
    for (Index k = 0; k < in; k += 4, panel += 4 * kColumns) {
      const __m256i b0 = load(panel), b1 = load(panel + 32);
      PB_UNROLL for (int m = 0; m < M; m++) {
        int32_t four;
        __builtin_memcpy(&four, a + m * in + k, 4);
        const __m256i x = _mm256_set1_epi32(four);
        sum[m][0] = multiply_add(sum[m][0], x, b0);
        sum[m][1] = multiply_add(sum[m][1], x, b1);
      }
    }
    PB_UNROLL for (int m = 0; m < M; m++)
      finish_sum<Vector, kWhole>(y, {_mm256_cvtepi32_ps(sum[m][0]), _mm256_cvtepi32_ps(sum[m][1])}, act_scale[row + m],
                               w.scale, row + m, column, min(16, w.out - column));
  }
};

}  // namespace pb::avxvnni
