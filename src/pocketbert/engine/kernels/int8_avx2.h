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
#include "kernels/int8_finish.h"

namespace pb::avx2 {

constexpr int kRows = 4, kColumns = 16, kGroup = 16;

inline void pack(const int8_t* weight, Index in, Index out, int8_t* panels, int32_t*) {
  const Index padded = round_up(in, kGroup);
  for (Index column = 0; column < round_up(out, kColumns); column += kColumns)
    for (Index k = 0; k < padded; k += 2)
      for (Index c = column; c < column + kColumns; c++)
        for (Index i = k; i < k + 2; i++) *panels++ = i < in && c < out ? weight[c * in + i] : int8_t{0};
}

PB_INLINE void quantize_16(const Vector::F& x, __m256 inverse, int16_t* out) {
  const __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(x.lo, inverse));
  const __m256i b = _mm256_cvtps_epi32(_mm256_mul_ps(x.hi, inverse));
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xD8);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), packed);
}

inline void quantize(const float* x, Index stride, Index rows, Index width, void* act, float* scale) {
  auto* out = static_cast<int16_t*>(act);
  for (Index r = 0; r < rows; r++, x += stride) {
    const RowScale s = row_scale(row_range<Vector>(x, width));
    scale[r] = s.scale;
    const __m256 inverse = _mm256_set1_ps(s.inverse);
    for (Index k = 0; k < width; k += kGroup, out += kGroup)
      quantize_16(Vector::load_n(x + k, min(16, width - k)), inverse, out);
  }
}

template <int M, bool kWhole>
PB_INLINE void tile(const int16_t* a, Index in, const Int8Weight& w, const int8_t* panel, const float* act_scale,
                    const Output& y, Index row, Index column) {
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

template <int M, bool kWhole>
PB_INLINE void tiles(const int16_t* a, Index in, Index rows, Index row, const Int8Weight& w, const int8_t* panel,
                     const float* act_scale, const Output& y, Index column) {
  for (; row + M <= rows; row += M)
    tile<M, kWhole>(a + row * in, in, w, panel, act_scale, y, row, column);
  if constexpr (M > 1) tiles<M / 2, kWhole>(a, in, rows, row, w, panel, act_scale, y, column);
}

inline void gemm(const void* act, const float* act_scale, Index rows, const Int8Weight& weight, const Output& output) {
  const Int8Weight w = weight;  // copies, which no store can alter
  const Output y = output;
  const auto* a = static_cast<const int16_t*>(act);
  const Index in = round_up(w.in, kGroup);
  const int8_t* panel = w.panels;
  for (Index column = 0; column < w.out; column += kColumns, panel += in * kColumns) {
    if (column + kColumns <= w.out)
      tiles<kRows, true>(a, in, rows, 0, w, panel, act_scale, y, column);
    else
      tiles<kRows, false>(a, in, rows, 0, w, panel, act_scale, y, column);
    finish_panel<Vector>(y, rows, column, min(kColumns, w.out - column));
  }
}

}  // namespace pb::avx2
