// int8 products with AVX2, which has no exact byte product: activations are kept in 16 bits and vpmaddwd adds pairs.
//
// (vpmaddubsw would take bytes at twice the speed, but saturates.) Weights lie [panel of 16 columns][in / 2][16][2].
#pragma once

#include "kernels/int8_finish.h"
#include "isa/vec_avx2.h"

namespace pb::words {

constexpr int kRows = 4, kColumns = 16, kGroup = 16;

inline size_t bytes(int in, int out) {
  return static_cast<size_t>(round_up(in, kGroup)) * static_cast<size_t>(round_up(out, kColumns));
}

inline void pack(const int8_t* weight, int in, int out, int8_t* panels, int32_t*) {
  const int padded = round_up(in, kGroup);
  for (int column = 0; column < round_up(out, kColumns); column += kColumns)
    for (int k = 0; k < padded; k += 2)
      for (int c = column; c < column + kColumns; c++)
        for (int i = k; i < k + 2; i++)
          *panels++ = i < in && c < out ? weight[static_cast<size_t>(c) * in + i] : int8_t{0};
}

PB_INLINE void quantise_16(const Avx2::F& x, __m256 inverse, int16_t* out) {
  const __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(x.lo, inverse));
  const __m256i b = _mm256_cvtps_epi32(_mm256_mul_ps(x.hi, inverse));
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xD8);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), packed);
}

inline void quantise(const float* x, int stride, int rows, int width, void* act, float* scale) {
  auto* out = static_cast<int16_t*>(act);
  for (int r = 0; r < rows; r++, x += stride) {
    const RowScale s = row_scale(row_range<Avx2>(x, width));
    scale[r] = s.scale;
    const __m256 inverse = _mm256_set1_ps(s.inverse);
    for (int k = 0; k < width; k += kGroup, out += kGroup)
      quantise_16(Avx2::load_n(x + k, least(16, width - k)), inverse, out);
  }
}

template <int M, bool kWhole>
PB_INLINE void tile(const int16_t* a, int in, const Int8Weight& w, const int8_t* panel, const float* act_scale,
                    const Output& y, int row, int column) {
  __m256i lo[M], hi[M];
  PB_UNROLL for (int m = 0; m < M; m++) lo[m] = hi[m] = _mm256_setzero_si256();
  for (int k = 0; k < in; k += 2, panel += 2 * kColumns) {
    const __m256i b0 = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(panel)));
    const __m256i b1 = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(panel + 16)));
    PB_UNROLL for (int m = 0; m < M; m++) {
      int32_t two;
      __builtin_memcpy(&two, a + static_cast<size_t>(m) * in + k, 4);
      const __m256i x = _mm256_set1_epi32(two);
      lo[m] = _mm256_add_epi32(lo[m], _mm256_madd_epi16(x, b0));
      hi[m] = _mm256_add_epi32(hi[m], _mm256_madd_epi16(x, b1));
    }
  }
  PB_UNROLL for (int m = 0; m < M; m++)
    finish_sum<Avx2, kWhole>(y, {_mm256_cvtepi32_ps(lo[m]), _mm256_cvtepi32_ps(hi[m])}, act_scale[row + m], w.scale,
                             row + m, column, least(16, w.out - column));
}

template <int M, bool kWhole>
PB_INLINE void tiles(const int16_t* a, int in, int rows, int row, const Int8Weight& w, const int8_t* panel,
                     const float* act_scale, const Output& y, int column) {
  for (; row + M <= rows; row += M)
    tile<M, kWhole>(a + static_cast<size_t>(row) * in, in, w, panel, act_scale, y, row, column);
  if constexpr (M > 1) tiles<M / 2, kWhole>(a, in, rows, row, w, panel, act_scale, y, column);
}

inline void gemm(const void* act, const float* act_scale, int rows, const Int8Weight& weight, const Output& output) {
  const Int8Weight w = weight;  // copies, which no store can alter
  const Output y = output;
  const auto* a = static_cast<const int16_t*>(act);
  const int in = round_up(w.in, kGroup);
  const int8_t* panel = w.panels;
  for (int column = 0; column < w.out; column += kColumns, panel += static_cast<size_t>(in) * kColumns) {
    if (column + kColumns <= w.out)
      tiles<kRows, true>(a, in, rows, 0, w, panel, act_scale, y, column);
    else
      tiles<kRows, false>(a, in, rows, 0, w, panel, act_scale, y, column);
    finish_panel<Avx2>(y, rows, column, least(kColumns, w.out - column));
  }
}

}  // namespace pb::words
