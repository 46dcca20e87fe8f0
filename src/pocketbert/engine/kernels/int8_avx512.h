// int8 products with AVX-512 VNNI: vpdpbusd multiplies unsigned activations by signed weights, four columns at a time.
//
// Activations are stored as value + 128; the sums start at -128 times each column's weights, which makes them exact.
// Weights lie in order of use, [panel of 32 columns][in / 4][32][4]; the input columns of each group of 64 are permuted
// as the packing instructions of `quantise` leave them, so that quantising needs no shuffles.
#pragma once

#include <cstring>

#include "kernels/int8_finish.h"
#include "isa/vec_avx512.h"

namespace pb::vnni {

constexpr int kRows = 8, kColumns = 32, kGroup = 64;

// The input column, within its group of 64, that stands at byte `at`.
PB_INLINE int source_column(int at) {
  const int lane = at / 16, part = at / 4 % 4, byte = at % 4;
  return 16 * part + 4 * lane + byte;
}

inline size_t bytes(int in, int out) {
  return static_cast<size_t>(round_up(in, kGroup)) * static_cast<size_t>(round_up(out, kColumns));
}

inline void pack(const int8_t* weight, int in, int out, int8_t* panels, int32_t* offset_sum) {
  const int padded = round_up(in, kGroup);
  for (int column = 0; column < round_up(out, kColumns); column++) {
    int8_t* panel = panels + static_cast<size_t>(column / kColumns) * padded * kColumns + column % kColumns * 4;
    int32_t sum = 0;
    for (int at = 0; at < padded; at++) {
      const int k = at / kGroup * kGroup + source_column(at % kGroup);
      const int8_t value = k < in && column < out ? weight[static_cast<size_t>(column) * in + k] : int8_t{0};
      panel[static_cast<size_t>(at / 4) * kColumns * 4 + at % 4] = value;
      sum += value;
    }
    offset_sum[column] = -128 * sum;
  }
}

template <int kOffset>
PB_INLINE __m512i quantise_64(const float* x, __m512 inverse) {
  __m512i q[4];
  PB_UNROLL for (int i = 0; i < 4; i++)
    q[i] = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + 16 * i), inverse));
  const __m512i s = _mm512_packs_epi16(_mm512_packs_epi32(q[0], q[1]), _mm512_packs_epi32(q[2], q[3]));
  return kOffset ? _mm512_xor_si512(s, _mm512_set1_epi8(static_cast<char>(0x80))) : s;
}

// kOffset, 128 or 0, is added to each value.
template <int kOffset>
PB_INLINE void quantise_rows(const float* x, int stride, int rows, int width, void* act, float* scale) {
  auto* out = static_cast<uint8_t*>(act);
  for (int r = 0; r < rows; r++, x += stride) {
    const RowScale s = row_scale(row_range<Avx512>(x, width));
    scale[r] = s.scale;
    const __m512 inverse = _mm512_set1_ps(s.inverse);
    int k = 0;
    for (; k + kGroup <= width; k += kGroup, out += kGroup)
      _mm512_storeu_si512(out, quantise_64<kOffset>(x + k, inverse));
    if (k < width) {
      float rest[kGroup] = {};
      for (int i = 0; k + i < width; i++) rest[i] = x[k + i];
      _mm512_storeu_si512(out, quantise_64<kOffset>(rest, inverse));
      out += kGroup;
    }
  }
}

inline void quantise(const float* x, int stride, int rows, int width, void* act, float* scale) {
  quantise_rows<128>(x, stride, rows, width, act, scale);
}

// The intrinsic makes GCC 12 copy every accumulator once more in each round.
PB_INLINE __m512i multiply_add(__m512i sum, __m512i x, __m512i b) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(b));
  return sum;
}

// `next` is what comes after this panel; each step of 64 columns asks the cache for `lines` lines of it.
template <int M, bool kWhole>
PB_INLINE void tile(const uint8_t* a, int in, const Int8Weight& w, const int8_t* panel, const int8_t* next, int lines,
                    const float* act_scale, const Output& y, int row, int column) {
  // Results go to the second cache: ask for their lines while the sums are made.
  PB_UNROLL for (int m = 0; m < M; m++) {
    const float* out = y.out + static_cast<size_t>(row + m) * y.out_stride + column;
    __builtin_prefetch(out, 1);
    __builtin_prefetch(out + 16, 1);
  }
  __m512i sum[M][2];
  const __m512i start[2] = {_mm512_loadu_si512(w.offset_sum + column), _mm512_loadu_si512(w.offset_sum + column + 16)};
  PB_UNROLL for (int m = 0; m < M; m++)
    PB_UNROLL for (int n = 0; n < 2; n++) sum[m][n] = start[n];
  for (int k = 0; k < in; k += 16, panel += 16 * kColumns) {
    for (int i = 0; i < lines; i++, next += 64) _mm_prefetch(reinterpret_cast<const char*>(next), _MM_HINT_T1);
    PB_UNROLL for (int d = 0; d < 4; d++) {
      const __m512i b0 = _mm512_load_si512(panel + d * 128), b1 = _mm512_load_si512(panel + d * 128 + 64);
      PB_UNROLL for (int m = 0; m < M; m++) {
        int32_t four;
        __builtin_memcpy(&four, a + static_cast<size_t>(m) * in + k + 4 * d, 4);
        const __m512i x = _mm512_set1_epi32(four);
        sum[m][0] = multiply_add(sum[m][0], x, b0);
        sum[m][1] = multiply_add(sum[m][1], x, b1);
      }
    }
  }
  PB_UNROLL for (int m = 0; m < M; m++)
    PB_UNROLL for (int n = 0; n < 2; n++)
      finish_sum<Avx512, kWhole>(y, _mm512_cvtepi32_ps(sum[m][n]), act_scale[row + m], w.scale, row + m, column + 16 * n,
                                 least(16, w.out - column - 16 * n));
}

template <int M, bool kWhole>
PB_INLINE void tiles(const uint8_t* a, int in, int rows, int row, const Int8Weight& w, const int8_t* panel,
                     const int8_t* next, int lines, const float* act_scale, const Output& y, int column) {
  for (; row + M <= rows; row += M, next += static_cast<size_t>(lines) * in * 4)
    tile<M, kWhole>(a + static_cast<size_t>(row) * in, in, w, panel, next, lines, act_scale, y, row, column);
  if constexpr (M > 1) tiles<M / 2, kWhole>(a, in, rows, row, w, panel, next, lines, act_scale, y, column);
}

// Panels outside, rows inside: a panel stays in the first cache while all rows meet it.
inline void gemm(const void* act, const float* act_scale, int rows, const Int8Weight& weight, const Output& output) {
  const Int8Weight w = weight;  // copies, which no store can alter
  const Output y = output;
  const auto* a = static_cast<const uint8_t*>(act);
  const int in = round_up(w.in, kGroup);
  const int steps = most(1, rows / kRows);
  const int lines = (8 + steps - 1) / steps;  // a panel has in / 2 lines, and a tile in / 16 steps
  const int8_t* panel = w.panels;
  for (int column = 0; column < w.out; column += kColumns) {
    const int8_t* next = panel + static_cast<size_t>(in) * kColumns;
    if (column + kColumns <= w.out)
      tiles<kRows, true>(a, in, rows, 0, w, panel, next, lines, act_scale, y, column);
    else
      tiles<kRows, false>(a, in, rows, 0, w, panel, next, lines, act_scale, y, column);
    finish_panel<Avx512>(y, rows, column, least(kColumns, w.out - column));
    panel = next;
  }
}

}  // namespace pb::vnni
