// int8 products with AVX-512 VNNI: vpdpbusd multiplies unsigned activations by signed weights, four inputs at a time.
//
// Activations are stored as value + 128; the sums start at -128 times the sum of each column's weights, which makes
// them exact. The inputs of each group of 64 are permuted as the packing instructions of `quantize` leave them, so that
// quantizing needs no shuffles. Weights are packed in fours of inputs, in order of use:
//
//   panel of 32 columns                4 bytes each: the weights of four inputs for one output
//   +------------------------------------------+
//   | inputs  0 ..  3:  o0  o1  o2  ..  o31    |  one step: four broadcast activations times one line of 128 bytes
//   | inputs 16 .. 19:  o0  o1  o2  ..  o31    |
//   | inputs 32 .. 35:  o0  o1  o2  ..  o31    |
//   | inputs 48 .. 51:  o0  o1  o2  ..  o31    |
//   | inputs  4 ..  7:  o0  o1  o2  ..  o31    |
//   |  ..                                      |  16 lines per group; zeros to a multiple of 64 inputs
//   +------------------------------------------+
#pragma once

#include "isa/vec_avx512.h"
#include "kernels/int8.h"

namespace pb::avx512 {

// How weights and activations are stored, here and for AMX; kOffset, 128 or 0, is added to each activation.
template <int kOffset>
struct Int8Layout {
  using Vector = avx512::Vector;
  static constexpr int kColumns = 32, kGroup = 64, kStep = 4;

  // The input, within its group of 64, that is stored at position `at`.
  static PB_INLINE Index source_column(Index at) {
    const Index lane = at / 16, part = at / 4 % 4, byte = at % 4;
    return 16 * part + 4 * lane + byte;
  }

  static PB_INLINE void quantize_group(const float* x, float inverse, void* out) {
    __m512i q[4];
    PB_UNROLL for (int i = 0; i < 4; i++)
      q[i] = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + 16 * i), _mm512_set1_ps(inverse)));
    const __m512i s = _mm512_packs_epi16(_mm512_packs_epi32(q[0], q[1]), _mm512_packs_epi32(q[2], q[3]));
    _mm512_storeu_si512(out, kOffset ? _mm512_xor_si512(s, _mm512_set1_epi8(static_cast<char>(0x80))) : s);
  }
};

// With the intrinsic, GCC 12 copies every accumulator in each step.
PB_INLINE __m512i multiply_add(__m512i sum, __m512i x, __m512i b) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(b));
  return sum;
}

struct Int8 : Int8Layout<128>, Int8Kernels<Int8> {
  using Act = uint8_t;
  static constexpr int kRows = 8;

  // Each step of 64 bytes of inputs also prefetches `lines` cache lines of the next panel, at `next`, into L2.
  template <int M, bool kWhole>
  static PB_INLINE void tile(const Act* a, Index in, const Int8Weight& w, const int8_t* panel, const int8_t* next,
                             Index lines, const float* act_scale, const Output& y, Index row, Index column) {
    // Results are usually in L2: prefetch their lines while the sums are computed.
    PB_UNROLL for (int m = 0; m < M; m++) {
      const float* out = y.out + (row + m) * y.out_stride + column;
      __builtin_prefetch(out, 1);
      __builtin_prefetch(out + 16, 1);
    }
    __m512i sum[M][2];
    const int32_t* offset = w.offset_sum + column;
    const __m512i start[2] = {_mm512_loadu_si512(offset), _mm512_loadu_si512(offset + 16)};
    PB_UNROLL for (int m = 0; m < M; m++)
      PB_UNROLL for (int n = 0; n < 2; n++) sum[m][n] = start[n];
    for (Index k = 0; k < in; k += 16, panel += 16 * kColumns) {
      for (Index i = 0; i < lines; i++, next += 64) _mm_prefetch(reinterpret_cast<const char*>(next), _MM_HINT_T1);
      PB_UNROLL for (int d = 0; d < 4; d++) {
        const __m512i b0 = _mm512_load_si512(panel + d * 128), b1 = _mm512_load_si512(panel + d * 128 + 64);
        PB_UNROLL for (int m = 0; m < M; m++) {
          int32_t four;
          __builtin_memcpy(&four, a + m * in + k + 4 * d, 4);
          const __m512i x = _mm512_set1_epi32(four);
          sum[m][0] = multiply_add(sum[m][0], x, b0);
          sum[m][1] = multiply_add(sum[m][1], x, b1);
        }
      }
    }
    PB_UNROLL for (int m = 0; m < M; m++)
      PB_UNROLL for (int n = 0; n < 2; n++)
        finish_sum<Vector, kWhole>(y, _mm512_cvtepi32_ps(sum[m][n]), act_scale[row + m], w.scale, row + m,
                                   column + 16 * n, min(16, w.out - column - 16 * n));
  }
};

}  // namespace pb::avx512
