// Attention of int8 models with AMX: products of bfloat16 with float32 sums, softmax in float32.
//
// Such roundings are smaller than those of the int8 products around them. Keys are laid out as
// [block of 16 places][column / 32][pair of columns][16 places][2], values as
// [block of 32 places][column / 16][pair of places][16 columns][2]: each innermost group is one tile. A result depends
// neither on how many rows run together nor on what stands beyond the text's end.
#pragma once

#include "kernels/kernels.h"
#include "isa/tiles.h"
#include "isa/vec_avx512.h"

namespace pb::amx {

using Half = uint16_t;  // the bits of a bfloat16
constexpr int kPairs = 32;  // bfloat16 in a tile's row: the depth of one product
constexpr int kTile = kTileRows * kPairs;

PB_INLINE __m256i narrow(__m512 x) { return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x)); }

// 2^x by a cubic on its fraction, relative error 8e-5: less than a rounding to bfloat16, which follows.
PB_INLINE __m512 exp2_short(__m512 x) {
  const __m512 f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  __m512 p = _mm512_set1_ps(0.07802443f);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.22606728f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.69583350f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.99992522f));
  return _mm512_scalef_ps(p, x);
}

struct Attention {
  static size_t key_bytes(int size) { return static_cast<size_t>(round_up(size, kPairs)) * sizeof(Half); }
  static size_t value_bytes(int size) { return static_cast<size_t>(round_up(size, 16)) * sizeof(Half); }

  // Scratch of one head: queries, scores of 16 rows, weights of 32, contexts, and 1 / the weights' sum.
  struct Scratch {
    int depth, columns, places;
    Half* query;
    float* scores;
    Half* weights;
    float* context;
    float* factor;
    size_t bytes;

    PB_INLINE Scratch(char* base, int size, int tokens)
        : depth(round_up(size, kPairs)), columns(round_up(size, 16)), places(round_up(tokens, kTextPlaces)) {
      size_t used = 0;
      const auto take = [&](size_t count) PB_LAMBDA {
        char* piece = base + used;
        used += (count + 63) / 64 * 64;
        return piece;
      };
      query = reinterpret_cast<Half*>(take(sizeof(Half) * static_cast<size_t>(2 * kTileRows * depth)));
      scores = reinterpret_cast<float*>(take(sizeof(float) * static_cast<size_t>(kTileRows * places)));
      weights = reinterpret_cast<Half*>(take(sizeof(Half) * static_cast<size_t>(2 * kTileRows * places)));
      context = reinterpret_cast<float*>(take(sizeof(float) * static_cast<size_t>(2 * kTileRows * 32)));
      factor = reinterpret_cast<float*>(take(sizeof(float) * static_cast<size_t>(2 * kTileRows)));
      bytes = used;
    }
  };

  static size_t scratch_bytes(int size, int tokens) { return Scratch(nullptr, size, tokens).bytes; }

  static void store(const KeyRow& r) {
    const int depth = round_up(r.size, kPairs), columns = round_up(r.size, 16);
    auto* keys = reinterpret_cast<Half*>(r.keys) + static_cast<size_t>(r.place / 16) * 16 * depth + r.place % 16 * 2;
    for (int column = 0; column < depth; column += 16) {
      alignas(32) uint32_t pairs[8];
      const int lanes = most(0, least(16, r.size - column));
      _mm256_store_si256(reinterpret_cast<__m256i*>(pairs), narrow(Avx512::load_n(r.key + (lanes ? column : 0), lanes)));
      for (int i = 0; i < 8; i++) __builtin_memcpy(keys + (column / 2 + i) * 32, pairs + i, 4);
    }
    auto* values = reinterpret_cast<Half*>(r.values) + static_cast<size_t>(r.place / 32) * 32 * columns;
    for (int column = 0; column < columns; column += 16) {
      Half* tile = values + column * 32;
      const __m512i bits =
          _mm512_cvtepu16_epi32(narrow(Avx512::load_n(r.value + column, least(16, r.size - column))));
      put(tile, r.place % 32, bits);
      for (int i = 1; i <= r.gap; i++) put(tile, r.place % 32 + i, _mm512_setzero_si512());  // 0 times NaN would be NaN
    }
  }

  // One place's sixteen columns within a tile of values.
  static PB_INLINE void put(Half* tile, int place, __m512i bits) {
    const bool odd = place % 2;
    _mm512_mask_storeu_epi16(tile + place / 2 * 32, odd ? 0xAAAAAAAAu : 0x55555555u,
                             odd ? _mm512_slli_epi32(bits, 16) : bits);
  }

  static void run(const HeadRows& head) {
    const HeadRows h = head;  // a copy, which no store can alter
    const Scratch s(h.scratch, h.size, h.tokens);
    const Tiles tiles;
    for (int row = 0; row < h.rows; row += 2 * kTileRows) {
      const int rows = least(2 * kTileRows, h.rows - row);
      take_queries(h, s, row, rows);
      for (int first = 0; first < rows; first += kTileRows) {
        score(h, s, first);
        for (int r = first; r < least(rows, first + kTileRows); r++) weigh(h, s, r);
      }
      for (int column = 0; column < s.columns; column += 32) {
        const int wide = least(32, s.columns - column);
        if (rows > kTileRows)
          sum_values<2>(h, s, column, wide);
        else
          sum_values<1>(h, s, column, wide);
        for (int r = 0; r < rows; r++)
          for (int i = 0; i < wide; i += 16)
            Avx512::store_n(h.out + static_cast<size_t>(row + r) * h.out_stride + column + i,
                            Avx512::mul(Avx512::load(s.context + r * 32 + i), Avx512::set(s.factor[r])),
                            least(16, h.size - column - i));
      }
    }
  }

  static PB_INLINE void take_queries(const HeadRows& h, const Scratch& s, int row, int rows) {
    for (int r = 0; r < rows; r++) {
      const float* query = h.query + static_cast<size_t>(row + r) * h.query_stride;
      for (int column = 0; column < s.depth; column += 16) {
        const int lanes = most(0, least(16, h.size - column));
        _mm256_store_si256(reinterpret_cast<__m256i*>(s.query + r * s.depth + column),
                           narrow(Avx512::load_n(query + (lanes ? column : 0), lanes)));
      }
    }
  }

  // Scores of sixteen rows with every place, 32 places at a time.
  static PB_APART_FUNCTION void score(const HeadRows& h, const Scratch& s, int first) {
    const auto* keys = reinterpret_cast<const Half*>(h.keys);
    const Half* query = s.query + first * s.depth;
    for (int place = 0; place < s.places; place += 32) {
      _tile_zero(0);
      _tile_zero(1);
      for (int k = 0; k < s.depth; k += kPairs) {
        const Half* key = keys + static_cast<size_t>(place) * s.depth + k * 16;
        _tile_loadd(4, query + k, static_cast<int>(sizeof(Half)) * s.depth);
        _tile_loadd(6, key, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, key + 16 * s.depth, 64);
        _tile_dpbf16ps(1, 4, 7);
      }
      _tile_stored(0, s.scores + place, static_cast<int>(sizeof(float)) * s.places);
      _tile_stored(1, s.scores + place + 16, static_cast<int>(sizeof(float)) * s.places);
    }
  }

  // exp(scores - the largest), in bfloat16, of one row; 0 beyond the text's end.
  static PB_INLINE void weigh(const HeadRows& h, const Scratch& s, int row) {
    float* scores = s.scores + row % kTileRows * s.places;
    Half* weights = s.weights + row * s.places;
    for (int i = h.tokens / 16 * 16; i < s.places; i += 16) {
      const __mmask16 inside = Avx512::first(most(0, least(16, h.tokens - i)));
      Avx512::store(scores + i, _mm512_mask_loadu_ps(_mm512_set1_ps(-__builtin_inff()), inside, scores + i));
    }
    __m512 largest[2] = {Avx512::load(scores), Avx512::load(scores + 16)};
    for (int i = 32; i < s.places; i += 32) {
      largest[0] = Avx512::max(largest[0], Avx512::load(scores + i));
      largest[1] = Avx512::max(largest[1], Avx512::load(scores + i + 16));
    }
    const __m512 scale = Avx512::set(1.44269504f);
    const __m512 shift = Avx512::set(-1.44269504f * Avx512::largest(Avx512::max(largest[0], largest[1])));
    __m512 total[2] = {Avx512::zero(), Avx512::zero()};
    for (int i = 0; i < s.places; i += 32) {
      const __m512 low = exp2_short(Avx512::fma(Avx512::load(scores + i), scale, shift));
      const __m512 high = exp2_short(Avx512::fma(Avx512::load(scores + i + 16), scale, shift));
      total[0] = Avx512::add(total[0], low);
      total[1] = Avx512::add(total[1], high);
      _mm512_store_si512(weights + i, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
    }
    s.factor[row] = 1.0f / Avx512::sum(Avx512::add(total[0], total[1]));
  }

  // Weighted sums of values, for 16 or 32 columns.
  template <int kTiles>
  static PB_APART_FUNCTION void sum_values(const HeadRows& h, const Scratch& s, int column, int wide) {
    const auto* values = reinterpret_cast<const Half*>(h.values) + column * 32;
    const int stride = static_cast<int>(sizeof(Half)) * s.places;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int place = 0; place < s.places; place += kPairs, values += static_cast<size_t>(kPairs) * s.columns) {
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
