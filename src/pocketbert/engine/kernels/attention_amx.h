// Attention of int8 models with AMX: products of bfloat16 with float32 sums, softmax in float32.
//
// bfloat16 rounds less than the int8 products around it. A result depends neither on how many rows run together nor on
// what lies beyond the text's end. Keys and values are stored as tiles, each 16 rows of 64 bytes: 16 pairs of bfloat16.
//
//   keys: a tile per 16 places and 32 columns            values: a tile per 32 places and 16 columns
//   +-----------------------------------------------+    +--------------------------------------------------+
//   | place 0: c0 c1  | place 1: c0 c1  | ..     15 |    | column 0: p0 p1   | column 1: p0 p1   | ..    15 |
//   | place 0: c2 c3  | place 1: c2 c3  | ..        |    | column 0: p2 p3   | column 1: p2 p3   | ..       |
//   |  ..                                           |    |  ..                                              |
//   | place 0: c30 c31| place 1: c30 c31| ..        |    | column 0: p30 p31 | column 1: p30 p31 | ..       |
//   +-----------------------------------------------+    +--------------------------------------------------+
//   then the block's next 32 columns, then 16 places     then the block's next 16 columns, then 32 places
#pragma once

#include "isa/tiles.h"
#include "isa/vec_avx512.h"
#include "kernels/kernels.h"

namespace pb::amx {

using avx512::Vector;
using Half = uint16_t;  // the bits of a bfloat16
constexpr Index kDepth = 32;  // bfloat16 in a tile's row: the depth of one product
constexpr Index kTile = kTileRows * kDepth;

PB_INLINE __m256i narrow(__m512 x) { return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x)); }

// 2^x by a cubic on its fraction, relative error 8e-5: less than the rounding to bfloat16 that follows.
PB_INLINE __m512 exp2_short(__m512 x) {
  const __m512 f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  __m512 p = _mm512_set1_ps(0.07802443f);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.22606728f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.69583350f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.99992522f));
  return _mm512_scalef_ps(p, x);
}

struct Attention {
  static Index key_bytes(Index size) { return round_up(size, kDepth) * kSize<Half>; }
  static Index value_bytes(Index size) { return round_up(size, 16) * kSize<Half>; }

  // Scratch of one head: queries, scores of 16 rows, weights of 32, contexts, and 1 / the weights' sum.
  struct Scratch {
    Index depth, columns, places;
    Half* query;
    float* scores;
    Half* weights;
    float* context;
    float* factor;
    Index bytes;

    PB_INLINE Scratch(char* base, Index size, Index tokens)
        : depth(round_up(size, kDepth)), columns(round_up(size, 16)), places(round_up(tokens, kTextPlaces)) {
      Index used = 0;
      const auto take = [&](Index count) PB_LAMBDA {
        char* piece = base + used;
        used += (count + 63) / 64 * 64;
        return piece;
      };
      query = reinterpret_cast<Half*>(take(kSize<Half> * 2 * kTileRows * depth));
      scores = reinterpret_cast<float*>(take(kSize<float> * kTileRows * places));
      weights = reinterpret_cast<Half*>(take(kSize<Half> * 2 * kTileRows * places));
      context = reinterpret_cast<float*>(take(kSize<float> * 2 * kTileRows * 32));
      factor = reinterpret_cast<float*>(take(kSize<float> * 2 * kTileRows));
      bytes = used;
    }
  };

  static Index scratch_bytes(Index size, Index tokens) { return Scratch(nullptr, size, tokens).bytes; }

  static void store(const KeyRow& r) {
    const Index depth = round_up(r.size, kDepth), columns = round_up(r.size, 16);
    auto* keys = reinterpret_cast<Half*>(r.keys) + r.place / 16 * 16 * depth + r.place % 16 * 2;
    for (Index column = 0; column < depth; column += 16) {
      alignas(32) uint32_t pairs[8];
      const Index lanes = max(0, min(16, r.size - column));
      const __m512 key = Vector::load_n(r.key + (lanes ? column : 0), lanes);
      _mm256_store_si256(reinterpret_cast<__m256i*>(pairs), narrow(key));
      for (int i = 0; i < 8; i++) __builtin_memcpy(keys + (column / 2 + i) * 32, pairs + i, 4);
    }
    auto* values = reinterpret_cast<Half*>(r.values) + r.place / 32 * 32 * columns;
    for (Index column = 0; column < columns; column += 16) {
      Half* tile = values + column * 32;
      const __m512i bits =
          _mm512_cvtepu16_epi32(narrow(Vector::load_n(r.value + column, min(16, r.size - column))));
      put(tile, r.place % 32, bits);
      for (Index i = 1; i <= r.gap; i++)  // their weight is 0, but 0 times NaN would be NaN
        put(tile, r.place % 32 + i, _mm512_setzero_si512());
    }
  }

  // One place's sixteen columns within a tile of values.
  static PB_INLINE void put(Half* tile, Index place, __m512i bits) {
    const bool odd = place % 2;
    _mm512_mask_storeu_epi16(tile + place / 2 * 32, odd ? 0xAAAAAAAAu : 0x55555555u,
                             odd ? _mm512_slli_epi32(bits, 16) : bits);
  }

  static void run(const HeadRows& head) {
    const HeadRows h = head;  // a copy, which no store can alter
    const Scratch s(h.scratch, h.size, h.tokens);
    const Tiles tiles;
    for (Index row = 0; row < h.rows; row += 2 * kTileRows) {
      const Index rows = min(2 * kTileRows, h.rows - row);
      take_queries(h, s, row, rows);
      for (Index first = 0; first < rows; first += kTileRows) {
        score(h, s, first);
        for (Index r = first; r < min(rows, first + kTileRows); r++) weigh(h, s, r);
      }
      for (Index column = 0; column < s.columns; column += 32) {
        const Index wide = min(32, s.columns - column);
        if (rows > kTileRows)
          sum_values<2>(h, s, column, wide);
        else
          sum_values<1>(h, s, column, wide);
        for (Index r = 0; r < rows; r++)
          for (Index i = 0; i < wide; i += 16)
            Vector::store_n(h.out + (row + r) * h.out_stride + column + i,
                            Vector::mul(Vector::load(s.context + r * 32 + i), Vector::set(s.factor[r])),
                            min(16, h.size - column - i));
      }
    }
  }

  static PB_INLINE void take_queries(const HeadRows& h, const Scratch& s, Index row, Index rows) {
    for (Index r = 0; r < rows; r++) {
      const float* query = h.query + (row + r) * h.query_stride;
      for (Index column = 0; column < s.depth; column += 16) {
        const Index lanes = max(0, min(16, h.size - column));
        _mm256_store_si256(reinterpret_cast<__m256i*>(s.query + r * s.depth + column),
                           narrow(Vector::load_n(query + (lanes ? column : 0), lanes)));
      }
    }
  }

  // Scores of sixteen rows with every place, 32 places at a time.
  static PB_NOINLINE void score(const HeadRows& h, const Scratch& s, Index first) {
    const auto* keys = reinterpret_cast<const Half*>(h.keys);
    const Half* query = s.query + first * s.depth;
    for (Index place = 0; place < s.places; place += 32) {
      _tile_zero(0);
      _tile_zero(1);
      for (Index k = 0; k < s.depth; k += kDepth) {
        const Half* key = keys + place * s.depth + k * 16;
        _tile_loadd(4, query + k, kSize<Half> * s.depth);
        _tile_loadd(6, key, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, key + 16 * s.depth, 64);
        _tile_dpbf16ps(1, 4, 7);
      }
      _tile_stored(0, s.scores + place, kSize<float> * s.places);
      _tile_stored(1, s.scores + place + 16, kSize<float> * s.places);
    }
  }

  // exp(score - maximum), in bfloat16, of one row; 0 beyond the text's end.
  static PB_INLINE void weigh(const HeadRows& h, const Scratch& s, Index row) {
    float* scores = s.scores + row % kTileRows * s.places;
    Half* weights = s.weights + row * s.places;
    for (Index i = h.tokens / 16 * 16; i < s.places; i += 16) {
      const __mmask16 inside = Vector::first(max(0, min(16, h.tokens - i)));
      Vector::store(scores + i, _mm512_mask_loadu_ps(_mm512_set1_ps(-__builtin_inff()), inside, scores + i));
    }
    __m512 largest[2] = {Vector::load(scores), Vector::load(scores + 16)};
    for (Index i = 32; i < s.places; i += 32) {
      largest[0] = Vector::max(largest[0], Vector::load(scores + i));
      largest[1] = Vector::max(largest[1], Vector::load(scores + i + 16));
    }
    const __m512 scale = Vector::set(1.44269504f);
    const __m512 shift = Vector::set(-1.44269504f * Vector::largest(Vector::max(largest[0], largest[1])));
    __m512 total[2] = {Vector::zero(), Vector::zero()};
    for (Index i = 0; i < s.places; i += 32) {
      const __m512 low = exp2_short(Vector::fma(Vector::load(scores + i), scale, shift));
      const __m512 high = exp2_short(Vector::fma(Vector::load(scores + i + 16), scale, shift));
      total[0] = Vector::add(total[0], low);
      total[1] = Vector::add(total[1], high);
      _mm512_store_si512(weights + i, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
    }
    s.factor[row] = 1.0f / Vector::sum(Vector::add(total[0], total[1]));
  }

  // Weighted sums of values, for 16 or 32 columns.
  template <int kTiles>
  static PB_NOINLINE void sum_values(const HeadRows& h, const Scratch& s, Index column, Index wide) {
    const auto* values = reinterpret_cast<const Half*>(h.values) + column * 32;
    const Index stride = kSize<Half> * s.places;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (Index place = 0; place < s.places; place += kDepth, values += kDepth * s.columns) {
      _tile_loadd(4, s.weights + place, stride);
      _tile_loadd(6, values, 64);
      _tile_dpbf16ps(0, 4, 6);
      if constexpr (kTiles == 2) {
        _tile_loadd(5, s.weights + kTileRows * s.places + place, stride);
        _tile_dpbf16ps(2, 5, 6);
      }
      if (wide > 16) {
        _tile_loadd(7, values + kTile, 64);
        _tile_dpbf16ps(1, 4, 7);
        if constexpr (kTiles == 2) _tile_dpbf16ps(3, 5, 7);
      }
    }
    _tile_stored(0, s.context, 128);
    _tile_stored(1, s.context + 16, 128);
    if constexpr (kTiles == 2) {
      _tile_stored(2, s.context + kTileRows * 32, 128);
      _tile_stored(3, s.context + kTileRows * 32 + 16, 128);
    }
  }
};

}  // namespace pb::amx
