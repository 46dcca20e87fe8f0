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

#include <cstring>

#include "isa/vec_avx512.h"
#include "kernels/int8_finish.h"

namespace pb::avx512 {

constexpr int kRows = 8, kColumns = 32, kGroup = 64;

// The input, within its group of 64, that is stored at position `at`.
PB_INLINE Index source_column(Index at) {
  const Index lane = at / 16, part = at / 4 % 4, byte = at % 4;
  return 16 * part + 4 * lane + byte;
}

inline void pack(const int8_t* weight, Index in, Index out, int8_t* panels, int32_t* offset_sum) {
  const Index padded = round_up(in, kGroup);
  for (Index column = 0; column < round_up(out, kColumns); column++) {
    int8_t* panel = panels + column / kColumns * padded * kColumns + column % kColumns * 4;
    int32_t sum = 0;
    for (Index at = 0; at < padded; at++) {
      const Index k = at / kGroup * kGroup + source_column(at % kGroup);
      const int8_t value = k < in && column < out ? weight[column * in + k] : int8_t{0};
      panel[at / 4 * kColumns * 4 + at % 4] = value;
      sum += value;
    }
    offset_sum[column] = -128 * sum;
  }
}

template <int kOffset>
PB_INLINE __m512i quantize_64(const float* x, __m512 inverse) {
  __m512i q[4];
  PB_UNROLL for (int i = 0; i < 4; i++)
    q[i] = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + 16 * i), inverse));
  const __m512i s = _mm512_packs_epi16(_mm512_packs_epi32(q[0], q[1]), _mm512_packs_epi32(q[2], q[3]));
  return kOffset ? _mm512_xor_si512(s, _mm512_set1_epi8(static_cast<char>(0x80))) : s;
}

// kOffset, 128 or 0, is added to each value.
template <int kOffset>
PB_INLINE void quantize_rows(const float* x, Index stride, Index rows, Index width, void* act, float* scale) {
  auto* out = static_cast<uint8_t*>(act);
  for (Index r = 0; r < rows; r++, x += stride) {
    const RowScale s = row_scale(row_range<Vector>(x, width));
    scale[r] = s.scale;
    const __m512 inverse = _mm512_set1_ps(s.inverse);
    Index k = 0;
    for (; k + kGroup <= width; k += kGroup, out += kGroup)
      _mm512_storeu_si512(out, quantize_64<kOffset>(x + k, inverse));
    if (k < width) {
      float rest[kGroup] = {};
      for (Index i = 0; k + i < width; i++) rest[i] = x[k + i];
      _mm512_storeu_si512(out, quantize_64<kOffset>(rest, inverse));
      out += kGroup;
    }
  }
}

inline void quantize(const float* x, Index stride, Index rows, Index width, void* act, float* scale) {
  quantize_rows<128>(x, stride, rows, width, act, scale);
}

// With the intrinsic, GCC 12 copies every accumulator in each step.
PB_INLINE __m512i multiply_add(__m512i sum, __m512i x, __m512i b) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(b));
  return sum;
}

// Each step of 64 bytes of inputs also prefetches `lines` cache lines of the next panel, at `next`, into L2.
template <int M, bool kWhole>
PB_INLINE void tile(const uint8_t* a, Index in, const Int8Weight& w, const int8_t* panel, const int8_t* next,
                    Index lines, const float* act_scale, const Output& y, Index row, Index column) {
  // Results are usually in L2: prefetch their lines while the sums are computed.
  PB_UNROLL for (int m = 0; m < M; m++) {
    const float* out = y.out + (row + m) * y.out_stride + column;
    __builtin_prefetch(out, 1);
    __builtin_prefetch(out + 16, 1);
  }
  __m512i sum[M][2];
  const __m512i start[2] = {_mm512_loadu_si512(w.offset_sum + column), _mm512_loadu_si512(w.offset_sum + column + 16)};
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

template <int M, bool kWhole>
PB_INLINE void tiles(const uint8_t* a, Index in, Index rows, Index row, const Int8Weight& w, const int8_t* panel,
                     const int8_t* next, Index lines, const float* act_scale, const Output& y, Index column) {
  for (; row + M <= rows; row += M, next += lines * in * 4)
    tile<M, kWhole>(a + row * in, in, w, panel, next, lines, act_scale, y, row, column);
  if constexpr (M > 1) tiles<M / 2, kWhole>(a, in, rows, row, w, panel, next, lines, act_scale, y, column);
}

// Panels outside, rows inside: a panel stays in L1 while it is multiplied with all rows.
inline void gemm(const void* act, const float* act_scale, Index rows, const Int8Weight& weight, const Output& output) {
  const Int8Weight w = weight;  // copies, which no store can alter
  const Output y = output;
  const auto* a = static_cast<const uint8_t*>(act);
  const Index in = round_up(w.in, kGroup);
  const Index steps = max(1, rows / kRows);
  const Index lines = (8 + steps - 1) / steps;  // a panel has in / 2 cache lines, and a tile in / 16 steps
  const int8_t* panel = w.panels;
  for (Index column = 0; column < w.out; column += kColumns) {
    const int8_t* next = panel + in * kColumns;
    if (column + kColumns <= w.out)
      tiles<kRows, true>(a, in, rows, 0, w, panel, next, lines, act_scale, y, column);
    else
      tiles<kRows, false>(a, in, rows, 0, w, panel, next, lines, act_scale, y, column);
    finish_panel<Vector>(y, rows, column, min(kColumns, w.out - column));
    panel = next;
  }
}

}  // namespace pb::avx512
