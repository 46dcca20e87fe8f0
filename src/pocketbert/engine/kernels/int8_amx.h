// int8 products with AMX: a tile instruction multiplies 16 rows by 16 columns over 64 input columns at once.
//
// Weights lie as for VNNI, which is how the instruction wants them; activations are signed, so that sums need no
// offset. The integers are those of every other path. Rows are read in sixteens: what stands beyond the last one is
// multiplied too, and left out of the results.
#pragma once

#include "kernels/int8_avx512.h"
#include "isa/tiles.h"

namespace pb::amx {

using vnni::bytes;
using vnni::kColumns;
using vnni::kGroup;
using vnni::pack;

constexpr int kRows = 2 * kTileRows;  // rows of a piece: two tiles by two

inline void quantise(const float* x, int stride, int rows, int width, void* act, float* scale) {
  vnni::quantise_rows<0>(x, stride, rows, width, act, scale);
}

// The sums of one piece; `next` is what comes after this panel, of which each step asks the cache for `lines` lines.
template <int kTiles>
PB_INLINE void multiply(const int8_t* a, int in, const int8_t* panel, const int8_t* next, int lines) {
  _tile_zero(0);
  _tile_zero(1);
  if constexpr (kTiles == 2) {
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int k = 0; k < in; k += kGroup, panel += kGroup * kColumns) {
    for (int i = 0; i < lines; i++, next += 64) _mm_prefetch(reinterpret_cast<const char*>(next), _MM_HINT_T1);
    _tile_stream_loadd(4, a + k, in);
    _tile_loadd(6, panel, 4 * kColumns);
    _tile_dpbssd(0, 4, 6);
    _tile_loadd(7, panel + 64, 4 * kColumns);
    _tile_dpbssd(1, 4, 7);
    if constexpr (kTiles == 2) {
      _tile_stream_loadd(5, a + static_cast<size_t>(kTileRows) * in + k, in);
      _tile_dpbssd(2, 5, 6);
      _tile_dpbssd(3, 5, 7);
    }
  }
}

struct Piece {
  int row = 0, column = 0, rows = 0;
};

template <int kTiles>
PB_INLINE void store(int32_t* sums) {
  constexpr int kBytes = 4 * kColumns;
  _tile_stored(0, sums, kBytes);
  _tile_stored(1, sums + 16, kBytes);
  if constexpr (kTiles == 2) {
    _tile_stored(2, sums + kTileRows * kColumns, kBytes);
    _tile_stored(3, sums + kTileRows * kColumns + 16, kBytes);
  }
}

template <bool kWhole>
PB_INLINE void finish_rows(const Piece& p, const int32_t* sums, const Int8Weight& w, const float* act_scale,
                           const Output& y) {
  for (int r = 0; r < p.rows; r++, sums += kColumns)
    PB_UNROLL for (int n = 0; n < 2; n++)
      finish_sum<Avx512, kWhole>(y, _mm512_cvtepi32_ps(_mm512_load_si512(sums + 16 * n)), act_scale[p.row + r], w.scale,
                                 p.row + r, p.column + 16 * n, least(16, w.out - p.column - 16 * n));
}

inline void finish_piece(const Piece& p, const int32_t* sums, const Int8Weight& w, const float* act_scale,
                         const Output& y) {
  if (p.column + kColumns <= w.out)
    finish_rows<true>(p, sums, w, act_scale, y);
  else
    finish_rows<false>(p, sums, w, act_scale, y);
  if (y.after != Activation::linear)
    activate<Avx512>(y.after, y.out + static_cast<size_t>(p.row) * y.out_stride + p.column, y.out_stride, p.rows,
                     least(kColumns, w.out - p.column));
}

// Panels outside, rows inside. The tiles multiply a piece while the vector units finish the one before.
inline void gemm(const void* act, const float* act_scale, int rows, const Int8Weight& weight, const Output& output) {
  const Int8Weight w = weight;  // copies, which no store can alter
  const Output y = output;
  const auto* a = static_cast<const int8_t*>(act);
  const int in = round_up(w.in, kGroup);
  const int pieces = (rows + kRows - 1) / kRows;
  const int lines = (kGroup * kColumns / 64 + pieces - 1) / pieces;
  alignas(64) int32_t sums[2][kRows * kColumns];
  Piece before;
  int turn = 0;
  const Tiles tiles;
  const int8_t* panel = w.panels;
  for (int column = 0; column < w.out; column += kColumns) {
    const int8_t* next = panel + static_cast<size_t>(in) * kColumns;
    const int8_t* ahead = next;
    for (int row = 0; row < rows; row += kRows, ahead += static_cast<size_t>(lines) * in, turn ^= 1) {
      const Piece piece{row, column, least(kRows, rows - row)};
      const bool two = piece.rows > kTileRows;
      if (two)
        multiply<2>(a + static_cast<size_t>(row) * in, in, panel, ahead, lines);
      else
        multiply<1>(a + static_cast<size_t>(row) * in, in, panel, ahead, lines);
      finish_piece(before, sums[turn ^ 1], w, act_scale, y);
      if (two)
        store<2>(sums[turn]);
      else
        store<1>(sums[turn]);
      before = piece;
    }
    panel = next;
  }
  finish_piece(before, sums[turn ^ 1], w, act_scale, y);
}

}  // namespace pb::amx
