// int8 products with AMX: a tile instruction multiplies 16 rows by 16 columns over 64 input columns at once.
//
// Weights are packed as for AVX-512 VNNI, which is the layout that the instruction expects; activations are signed, so
// that sums need no offset. The integers are those of every other path. Rows are read in sixteens: what lies beyond the
// last one is multiplied too, and left out of the results.
//
//                                  16 lines of a panel: 64 inputs
//                              +---------------------+---------------------+
//                              | tile 6: o0 .. o15   | tile 7: o16 .. o31  |
//   activations (64 inputs)    +---------------------+---------------------+
//   | tile 4: rows  0 .. 15 |  | += tile 0           | += tile 1           |
//   | tile 5: rows 16 .. 31 |  | += tile 2           | += tile 3           |
//                              +---------------------+---------------------+
#pragma once

#include "kernels/int8_avx512.h"
#include "isa/tiles.h"

namespace pb::amx {

using avx512::Vector;
using Layout = avx512::Int8Layout<0>;

constexpr int kColumns = Layout::kColumns, kGroup = Layout::kGroup;
constexpr int kRows = 2 * kTileRows;  // rows of a piece: two tiles by two

// The sums of one piece. Each step also prefetches `lines` cache lines of the next panel, at `next`, into L2.
template <int kTiles>
PB_INLINE void multiply(const int8_t* a, Index in, const int8_t* panel, const int8_t* next, Index lines) {
  _tile_zero(0);
  _tile_zero(1);
  if constexpr (kTiles == 2) {
    _tile_zero(2);
    _tile_zero(3);
  }
  for (Index k = 0; k < in; k += kGroup, panel += kGroup * kColumns) {
    for (Index i = 0; i < lines; i++, next += 64) _mm_prefetch(reinterpret_cast<const char*>(next), _MM_HINT_T1);
    _tile_stream_loadd(4, a + k, in);
    _tile_loadd(6, panel, 4 * kColumns);
    _tile_dpbssd(0, 4, 6);
    _tile_loadd(7, panel + 64, 4 * kColumns);
    _tile_dpbssd(1, 4, 7);
    if constexpr (kTiles == 2) {
      _tile_stream_loadd(5, a + kTileRows * in + k, in);
      _tile_dpbssd(2, 5, 6);
      _tile_dpbssd(3, 5, 7);
    }
  }
}

struct Piece {
  Index row = 0, column = 0, rows = 0;
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
  for (Index r = 0; r < p.rows; r++, sums += kColumns)
    PB_UNROLL for (int n = 0; n < 2; n++)
      finish_sum<Vector, kWhole>(y, _mm512_cvtepi32_ps(_mm512_load_si512(sums + 16 * n)), act_scale[p.row + r], w.scale,
                                 p.row + r, p.column + 16 * n, min(16, w.out - p.column - 16 * n));
}

inline void finish_piece(const Piece& p, const int32_t* sums, const Int8Weight& w, const float* act_scale,
                         const Output& y) {
  if (p.column + kColumns <= w.out)
    finish_rows<true>(p, sums, w, act_scale, y);
  else
    finish_rows<false>(p, sums, w, act_scale, y);
  if (y.after != Activation::none)
    activate<Vector>(y.after, y.out + p.row * y.out_stride + p.column, y.out_stride, p.rows,
                     min(kColumns, w.out - p.column));
}

struct Int8 : Layout, Int8Kernels<Int8> {
  using Act = int8_t;

  // Panels outside, rows inside. The tiles multiply a piece while the vector units finish the one before.
  static void gemm(const void* act, const float* act_scale, Index rows, const Int8Weight& weight,
                   const Output& output) {
    const Int8Weight w = weight;  // copies, which no store can alter
    const Output y = output;
    const auto* a = static_cast<const int8_t*>(act);
    const Index in = round_up(w.in, kGroup);
    const Index pieces = (rows + kRows - 1) / kRows;
    const Index lines = (kGroup * kColumns / 64 + pieces - 1) / pieces;
    alignas(64) int32_t sums[2][kRows * kColumns];
    Piece before;
    int turn = 0;
    const Tiles tiles;
    const int8_t* panel = w.panels;
    for (Index column = 0; column < w.out; column += kColumns) {
      const int8_t* next = panel + in * kColumns;
      const int8_t* ahead = next;
      for (Index row = 0; row < rows; row += kRows, ahead += lines * in, turn ^= 1) {
        const Piece piece{row, column, min(kRows, rows - row)};
        const bool two = piece.rows > kTileRows;
        if (two)
          multiply<2>(a + row * in, in, panel, ahead, lines);
        else
          multiply<1>(a + row * in, in, panel, ahead, lines);
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
};

}  // namespace pb::amx
