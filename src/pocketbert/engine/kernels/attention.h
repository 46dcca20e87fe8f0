// Softmax attention of some rows of a text to all its tokens, for one head, in float32.
//
//   keys: blocks of 16 places                   values: one row per place
//   +------------------------------------+      +---------------------------------------+
//   | column 0: place 0  place 1 ..  15  |      | place 0: columns 0 .. size - 1, pad   |
//   | column 1: place 0  place 1 ..  15  |      | place 1: columns 0 .. size - 1, pad   |
//   |  ..                                |      |  ..      (padded to a multiple of 16) |
//   +------------------------------------+      +---------------------------------------+
//   | column 0: place 16 place 17 .. 31  |
//
// So a score is one chain of multiply-adds over the head's columns, computed for 16 keys at once, and a context value
// is one chain over the tokens. Neither depends on how many rows run together.
#pragma once

#include <cstring>

#include "isa/vec_math.h"
#include "kernels/kernels.h"

namespace pb {

constexpr int kKeyBlock = 16;

// Scores of M rows with N blocks of keys, the first of them `block`.
template <class V, int M, int N>
PB_INLINE void score_blocks(const HeadRows& h, const float* query, float* scores, Index stride, Index block) {
  typename V::F sum[M][N];
  PB_UNROLL for (int m = 0; m < M; m++)
    PB_UNROLL for (int n = 0; n < N; n++) sum[m][n] = V::zero();
  const Index block_size = h.size * kKeyBlock;
  const float* key = reinterpret_cast<const float*>(h.keys) + block * block_size;
  for (Index d = 0; d < h.size; d++, key += kKeyBlock) {
    typename V::F k[N];
    PB_UNROLL for (int n = 0; n < N; n++) k[n] = V::load(key + n * block_size);
    PB_UNROLL for (int m = 0; m < M; m++) {
      const auto q = V::set(query[m * h.query_stride + d]);
      PB_UNROLL for (int n = 0; n < N; n++) sum[m][n] = V::chain(q, k[n], sum[m][n]);
    }
  }
  const Index lanes = h.tokens - (block + N - 1) * kKeyBlock;
  if (lanes < kKeyBlock) {  // keys beyond the text's end get a weight of 0, whatever is stored there
    PB_UNROLL for (int m = 0; m < M; m++) {
      float padded[kKeyBlock];
      for (Index i = lanes; i < kKeyBlock; i++) padded[i] = -__builtin_inff();
      V::store_n(padded, sum[m][N - 1], lanes);
      sum[m][N - 1] = V::load(padded);
    }
  }
  PB_UNROLL for (int m = 0; m < M; m++)
    PB_UNROLL for (int n = 0; n < N; n++) V::store(scores + m * stride + (block + n) * kKeyBlock, sum[m][n]);
}

template <class V, int M>
PB_NOINLINE void score_rows(const HeadRows& h, const float* query, float* scores, Index stride) {
  constexpr int N = V::kVectors;
  const Index blocks = (h.tokens + kKeyBlock - 1) / kKeyBlock;
  Index block = 0;
  for (; block + N <= blocks; block += N) score_blocks<V, M, N>(h, query, scores, stride, block);
  if constexpr (N > 1)
    for (; block < blocks; block++) score_blocks<V, M, 1>(h, query, scores, stride, block);
}

// Replaces scores by exp(score - maximum) and returns 1 / their sum.
template <class V>
PB_INLINE float softmax_row(float* scores, Index padded) {
  auto largest = V::load(scores);
  for (Index i = 16; i < padded; i += 16) largest = V::max(largest, V::load(scores + i));
  const auto top = V::set(V::largest(largest));
  auto total = V::zero();
  for (Index i = 0; i < padded; i += 16) {
    const auto p = exp<V>(V::sub(V::load(scores + i), top));
    total = V::add(total, p);
    V::store(scores + i, p);
  }
  return 1.0f / V::sum(total);
}

template <class V, int M>
PB_NOINLINE void context_rows(const HeadRows& h, const float* weights, Index stride, const float* factor, float* out) {
  constexpr int N = V::kVectors;
  const Index width = round_up(h.size, 16);
  for (Index column = 0; column < h.size; column += 16 * N) {
    const Index vectors = min(N, (h.size - column + 15) / 16);
    typename V::F sum[M][N];
    PB_UNROLL for (int m = 0; m < M; m++)
      PB_UNROLL for (int n = 0; n < N; n++) sum[m][n] = V::zero();
    const float* value = reinterpret_cast<const float*>(h.values) + column;
    if (vectors == N) {
      for (Index t = 0; t < h.tokens; t++, value += width) {
        typename V::F v[N];
        PB_UNROLL for (int n = 0; n < N; n++) v[n] = V::load(value + 16 * n);
        PB_UNROLL for (int m = 0; m < M; m++) {
          const auto p = V::set(weights[m * stride + t]);
          PB_UNROLL for (int n = 0; n < N; n++) sum[m][n] = V::chain(p, v[n], sum[m][n]);
        }
      }
    } else {
      for (Index t = 0; t < h.tokens; t++, value += width) {
        const auto v = V::load(value);
        PB_UNROLL for (int m = 0; m < M; m++) sum[m][0] = V::chain(V::set(weights[m * stride + t]), v, sum[m][0]);
      }
    }
    PB_UNROLL for (int m = 0; m < M; m++)
      for (Index n = 0; n < vectors; n++) {
        const Index at = column + 16 * n;
        V::store_n(out + m * h.out_stride + at, V::mul(sum[m][n], V::set(factor[m])), min(16, h.size - at));
      }
  }
}

template <class V, int M>
PB_INLINE void attention_rows(const HeadRows& h, Index row) {
  const Index padded = round_up(h.tokens, 16);
  auto* scores = reinterpret_cast<float*>(h.scratch);
  for (; row + M <= h.rows; row += M) {
    float factor[M];
    score_rows<V, M>(h, h.query + row * h.query_stride, scores, padded);
    for (int m = 0; m < M; m++) factor[m] = softmax_row<V>(scores + m * padded, padded);
    context_rows<V, M>(h, scores, padded, factor, h.out + row * h.out_stride);
  }
  if constexpr (M > 1) attention_rows<V, M / 2>(h, row);
}

template <class V>
struct FloatAttention {
  static Index key_bytes(Index size) { return size * kSize<float>; }
  static Index value_bytes(Index size) { return round_up(size, 16) * kSize<float>; }
  static Index scratch_bytes(Index, Index tokens) { return V::kAttentionRows * round_up(tokens, 16) * kSize<float>; }
  static void store(const KeyRow& r) {
    auto* key = reinterpret_cast<float*>(r.keys) + r.place / kKeyBlock * kKeyBlock * r.size + r.place % kKeyBlock;
    for (Index d = 0; d < r.size; d++) key[d * kKeyBlock] = r.key[d];
    auto* value = reinterpret_cast<float*>(r.values) + r.place * round_up(r.size, 16);
    std::memcpy(value, r.value, r.size * kSize<float>);
  }
  static void run(const HeadRows& head) {
    const HeadRows h = head;  // a copy, which no store can alter
    attention_rows<V, V::kAttentionRows>(h, 0);
  }
};

}  // namespace pb
