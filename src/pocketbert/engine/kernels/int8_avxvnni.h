// int8 products with AVX-VNNI, for CPUs that have it without AVX-512: int8_avx512.h on half as wide registers.
//
// Activations are stored as value + 128; the sums start at -128 times each column's weights. Weights lie
// [panel of 16 columns][in / 4][16][4].
#pragma once

#include "kernels/int8_finish.h"
#include "isa/vec_avx2.h"

namespace pb::vnni256 {

constexpr int kRows = 6, kColumns = 16, kGroup = 32;

inline size_t bytes(int in, int out) {
  return static_cast<size_t>(round_up(in, kGroup)) * static_cast<size_t>(round_up(out, kColumns));
}

inline void pack(const int8_t* weight, int in, int out, int8_t* panels, int32_t* offset_sum) {
  const int padded = round_up(in, kGroup);
  for (int column = 0; column < round_up(out, kColumns); column++) {
    int8_t* panel = panels + static_cast<size_t>(column / kColumns) * padded * kColumns + column % kColumns * 4;
    int32_t sum = 0;
    for (int k = 0; k < padded; k++) {
      const int8_t value = k < in && column < out ? weight[static_cast<size_t>(column) * in + k] : int8_t{0};
      panel[static_cast<size_t>(k / 4) * kColumns * 4 + k % 4] = value;
      sum += value;
    }
    offset_sum[column] = -128 * sum;
  }
}

PB_INLINE __m256i quantise_32(const float* x, __m256 inverse) {
  __m256i q[4];
  PB_UNROLL for (int i = 0; i < 4; i++)
    q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), inverse));
  const __m256i s = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
  const __m256i in_order = _mm256_permutevar8x32_epi32(s, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  return _mm256_xor_si256(in_order, _mm256_set1_epi8(static_cast<char>(0x80)));  // + 128
}

inline void quantise(const float* x, int stride, int rows, int width, void* act, float* scale) {
  auto* out = static_cast<uint8_t*>(act);
  const auto put = [&](const float* from, __m256 inverse) PB_LAMBDA {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), quantise_32(from, inverse));
    out += kGroup;
  };
  for (int r = 0; r < rows; r++, x += stride) {
    const RowScale s = row_scale(row_range<Avx2>(x, width));
    scale[r] = s.scale;
    const __m256 inverse = _mm256_set1_ps(s.inverse);
    int k = 0;
    for (; k + kGroup <= width; k += kGroup) put(x + k, inverse);
    if (k < width) {
      float rest[kGroup] = {};
      for (int i = 0; k + i < width; i++) rest[i] = x[k + i];
      put(rest, inverse);
    }
  }
}

// The intrinsic makes GCC 12 copy every accumulator once more in each round.
PB_INLINE __m256i multiply_add(__m256i sum, __m256i x, __m256i b) {
  asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(x), "x"(b));
  return sum;
}

template <int M, bool kWhole>
PB_APART_FUNCTION void tile(const uint8_t* a, int in, const Int8Weight& w, const int8_t* panel, const float* act_scale,
                            const Output& y, int row, int column) {
  const auto load = [](const void* p) PB_LAMBDA { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); };
  const __m256i start[2] = {load(w.offset_sum + column), load(w.offset_sum + column + 8)};
  __m256i sum[M][2];
  PB_UNROLL for (int m = 0; m < M; m++)
    PB_UNROLL for (int n = 0; n < 2; n++) sum[m][n] = start[n];
  for (int k = 0; k < in; k += 4, panel += 4 * kColumns) {
    const __m256i b0 = load(panel), b1 = load(panel + 32);
    PB_UNROLL for (int m = 0; m < M; m++) {
      int32_t four;
      __builtin_memcpy(&four, a + static_cast<size_t>(m) * in + k, 4);
      const __m256i x = _mm256_set1_epi32(four);
      sum[m][0] = multiply_add(sum[m][0], x, b0);
      sum[m][1] = multiply_add(sum[m][1], x, b1);
    }
  }
  PB_UNROLL for (int m = 0; m < M; m++)
    finish_sum<Avx2, kWhole>(y, {_mm256_cvtepi32_ps(sum[m][0]), _mm256_cvtepi32_ps(sum[m][1])}, act_scale[row + m],
                             w.scale, row + m, column, least(16, w.out - column));
}

template <int M, bool kWhole>
PB_INLINE void tiles(const uint8_t* a, int in, int rows, int row, const Int8Weight& w, const int8_t* panel,
                     const float* act_scale, const Output& y, int column) {
  for (; row + M <= rows; row += M)
    tile<M, kWhole>(a + static_cast<size_t>(row) * in, in, w, panel, act_scale, y, row, column);
  if constexpr (M > 1) tiles<M / 2, kWhole>(a, in, rows, row, w, panel, act_scale, y, column);
}

inline void gemm(const void* act, const float* act_scale, int rows, const Int8Weight& weight, const Output& output) {
  const Int8Weight w = weight;  // copies, which no store can alter
  const Output y = output;
  const auto* a = static_cast<const uint8_t*>(act);
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

}  // namespace pb::vnni256
