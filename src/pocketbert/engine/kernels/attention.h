// Softmax attention of some rows of a text to all its tokens, for one head, in float32.
//
// Sixteen keys stand side by side, [block][column][16], so a score is one chain of multiply-adds over the head's
// columns; values are [token][columns, padded], and a context value is one chain over the tokens. Neither depends on how
// many rows run together.
#pragma once

#include <cstring>

#include "kernels/kernels.h"
#include "isa/vec_math.h"

namespace pb {

constexpr int kKeyBlock = 16;

// Scores of M rows with N blocks of keys, the first of them `block`.
template <class V, int M, int N>
PB_INLINE void score_blocks(const HeadRows& h, const float* query, float* scores, int stride, int block) {
  typename V::F sum[M][N];
  PB_UNROLL for (int m = 0; m < M; m++)
    PB_UNROLL for (int n = 0; n < N; n++) sum[m][n] = V::zero();
  const int apart = h.size * kKeyBlock;
  const float* key = reinterpret_cast<const float*>(h.keys) + static_cast<size_t>(block) * apart;
  for (int d = 0; d < h.size; d++, key += kKeyBlock) {
    typename V::F k[N];
    PB_UNROLL for (int n = 0; n < N; n++) k[n] = V::load(key + n * apart);
    PB_UNROLL for (int m = 0; m < M; m++) {
      const auto q = V::set(query[static_cast<size_t>(m) * h.query_stride + d]);
      PB_UNROLL for (int n = 0; n < N; n++) sum[m][n] = V::chain(q, k[n], sum[m][n]);
    }
  }
  const int lanes = h.tokens - (block + N - 1) * kKeyBlock;
  if (lanes < kKeyBlock) {  // keys beyond the text's end: whatever stands there weighs nothing
    PB_UNROLL for (int m = 0; m < M; m++) {
      float padded[kKeyBlock];
      for (int i = lanes; i < kKeyBlock; i++) padded[i] = -__builtin_inff();
      V::store_n(padded, sum[m][N - 1], lanes);
      sum[m][N - 1] = V::load(padded);
    }
  }
  PB_UNROLL for (int m = 0; m < M; m++)
    PB_UNROLL for (int n = 0; n < N; n++)
      V::store(scores + static_cast<size_t>(m) * stride + (block + n) * kKeyBlock, sum[m][n]);
}

template <class V, int M>
PB_APART_FUNCTION void score_rows(const HeadRows& h, const float* query, float* scores, int stride) {
  constexpr int N = V::kVectors;
  const int blocks = (h.tokens + kKeyBlock - 1) / kKeyBlock;
  int block = 0;
  for (; block + N <= blocks; block += N) score_blocks<V, M, N>(h, query, scores, stride, block);
  if constexpr (N > 1)
    for (; block < blocks; block++) score_blocks<V, M, 1>(h, query, scores, stride, block);
}

// scores <- exp(scores - the largest); returns 1 / their sum.
template <class V>
PB_INLINE float softmax_row(float* scores, int padded) {
  auto largest = V::load(scores);
  for (int i = 16; i < padded; i += 16) largest = V::max(largest, V::load(scores + i));
  const auto top = V::set(V::largest(largest));
  auto total = V::zero();
  for (int i = 0; i < padded; i += 16) {
    const auto p = exp<V>(V::sub(V::load(scores + i), top));
    total = V::add(total, p);
    V::store(scores + i, p);
  }
  return 1.0f / V::sum(total);
}

template <class V, int M>
PB_APART_FUNCTION void context_rows(const HeadRows& h, const float* weights, int stride, const float* factor, float* out) {
  constexpr int N = V::kVectors;
  const int width = round_up(h.size, 16);
  for (int column = 0; column < h.size; column += 16 * N) {
    const int vectors = least(N, (h.size - column + 15) / 16);
    typename V::F sum[M][N];
    PB_UNROLL for (int m = 0; m < M; m++)
      PB_UNROLL for (int n = 0; n < N; n++) sum[m][n] = V::zero();
    const float* value = reinterpret_cast<const float*>(h.values) + column;
    if (vectors == N) {
      for (int t = 0; t < h.tokens; t++, value += width) {
        typename V::F v[N];
        PB_UNROLL for (int n = 0; n < N; n++) v[n] = V::load(value + 16 * n);
        PB_UNROLL for (int m = 0; m < M; m++) {
          const auto p = V::set(weights[static_cast<size_t>(m) * stride + t]);
          PB_UNROLL for (int n = 0; n < N; n++) sum[m][n] = V::chain(p, v[n], sum[m][n]);
        }
      }
    } else {
      for (int t = 0; t < h.tokens; t++, value += width) {
        const auto v = V::load(value);
        PB_UNROLL for (int m = 0; m < M; m++)
          sum[m][0] = V::chain(V::set(weights[static_cast<size_t>(m) * stride + t]), v, sum[m][0]);
      }
    }
    PB_UNROLL for (int m = 0; m < M; m++)
      for (int n = 0; n < vectors; n++) {
        const int at = column + 16 * n;
        V::store_n(out + static_cast<size_t>(m) * h.out_stride + at, V::mul(sum[m][n], V::set(factor[m])),
                   least(16, h.size - at));
      }
  }
}

template <class V, int M>
PB_INLINE void attention_rows(const HeadRows& h, int row) {
  const int padded = round_up(h.tokens, 16);
  auto* scores = reinterpret_cast<float*>(h.scratch);
  for (; row + M <= h.rows; row += M) {
    float factor[M];
    score_rows<V, M>(h, h.query + static_cast<size_t>(row) * h.query_stride, scores, padded);
    for (int m = 0; m < M; m++) factor[m] = softmax_row<V>(scores + static_cast<size_t>(m) * padded, padded);
    context_rows<V, M>(h, scores, padded, factor, h.out + static_cast<size_t>(row) * h.out_stride);
  }
  if constexpr (M > 1) attention_rows<V, M / 2>(h, row);
}

template <class V>
struct FloatAttention {
  static size_t key_bytes(int size) { return static_cast<size_t>(size) * sizeof(float); }
  static size_t value_bytes(int size) { return static_cast<size_t>(round_up(size, 16)) * sizeof(float); }
  static size_t scratch_bytes(int, int tokens) {
    return static_cast<size_t>(V::kAttentionRows) * static_cast<size_t>(round_up(tokens, 16)) * sizeof(float);
  }
  static void store(const KeyRow& r) {
    auto* key = reinterpret_cast<float*>(r.keys) +
                static_cast<size_t>(r.place / kKeyBlock) * kKeyBlock * r.size + r.place % kKeyBlock;
    for (int d = 0; d < r.size; d++) key[d * kKeyBlock] = r.key[d];
    auto* value = reinterpret_cast<float*>(r.values) + static_cast<size_t>(r.place) * round_up(r.size, 16);
    std::memcpy(value, r.value, static_cast<size_t>(r.size) * sizeof(float));
  }
  static void run(const HeadRows& head) {
    const HeadRows h = head;  // a copy, which no store can alter
    attention_rows<V, V::kAttentionRows>(h, 0);
  }
};

}  // namespace pb
