#include "engine/workspace.h"

#include <algorithm>

namespace pb {
namespace {

void lay_out(Layout& layout, const Batch& batch) {
  const auto tokens = static_cast<size_t>(batch.tokens);
  layout.text.resize(tokens);
  layout.place.resize(tokens);
  layout.begin.resize(static_cast<size_t>(batch.texts) + 1);
  layout.padded = layout.longest = 0;
  for (int t = 0; t < batch.texts; t++) {
    const int begin = static_cast<int>(batch.ends[t]), end = static_cast<int>(batch.ends[t + 1]);
    layout.begin[static_cast<size_t>(t)] = begin;
    for (int i = begin; i < end; i++) {
      layout.text[static_cast<size_t>(i)] = t;
      layout.place[static_cast<size_t>(i)] = layout.padded + i - begin;
    }
    layout.padded += round_up(end - begin, kTextPlaces);
    layout.longest = most(layout.longest, end - begin);
  }
  layout.begin.back() = static_cast<int>(batch.tokens);
}

// Cuts one allocation into aligned pieces: first counted, then handed out.
class Cutter {
 public:
  explicit Cutter(char* base = nullptr) : base_(base) {}
  template <class T>
  T* take(size_t count) {
    T* piece = base_ ? reinterpret_cast<T*>(base_ + used_) : nullptr;
    used_ += align_up(count * sizeof(T), kLine);
    return piece;
  }
  size_t used() const { return used_; }

 private:
  char* base_;
  size_t used_ = 0;
};

void cut_scratch(Scratch& s, const Model& m, int longest, Cutter& cutter) {
  constexpr size_t kRows = kMostBlock;
  s.buffers.assign(m.widths.size(), nullptr);
  s.at = s.buffers;
  s.strides = m.strides;
  for (size_t b = 0; b < m.widths.size(); b++)
    if (!m.direct[b]) s.buffers[b] = cutter.take<float>(kRows * static_cast<size_t>(m.strides[b]));
  const int in = round_up(m.most_in, 64);
  s.act = cutter.take<char>(kRows * static_cast<size_t>(in) * static_cast<size_t>(m.kernels.act_bytes));
  s.act_scale = cutter.take<float>(kRows);
  s.attention = cutter.take<char>(m.attention_scratch(longest));
  s.seed = cutter.take<float>(kRows * static_cast<size_t>(m.most_outlier_out));
  s.masked = cutter.take<float>(m.most_outliers ? kRows * static_cast<size_t>(in) : 0);
  s.outliers = cutter.take<float>(kRows * static_cast<size_t>(m.most_outliers));
  s.product = cutter.take<float>(kRows * static_cast<size_t>(m.most_out));
}

}  // namespace

void Workspace::prepare(const Model& m, const Batch& batch, int threads) {
  lay_out(layout, batch);
  const int tokens = static_cast<int>(batch.tokens);
  if (tokens > tokens_ || layout.padded > padded_) {
    const int rows = most(tokens, tokens_), padded = most(layout.padded, padded_);
    tokens_ = padded_ = 0;  // if memory runs out below, the next call starts afresh
    blocks_.clear();
    buffers.assign(m.widths.size(), nullptr);
    const auto bytes = [&](size_t count) {
      blocks_.push_back(allocate(count));
      return blocks_.back().get();
    };
    for (size_t b = 0; b < m.widths.size(); b++)
      if (m.shared[b])
        buffers[b] = reinterpret_cast<float*>(
            bytes(static_cast<size_t>(rows) * static_cast<size_t>(m.strides[b]) * sizeof(float)));
    for (int i = 0; i < 2; i++) {
      keys[i] = bytes(static_cast<size_t>(padded) * m.most_key_row);
      values[i] = bytes(static_cast<size_t>(padded) * m.most_value_row);
    }
    tokens_ = rows;
    padded_ = padded;
  }
  if (threads > threads_ || layout.longest > longest_) {
    const int count = most(threads, threads_), longest = most(layout.longest, longest_);
    threads_ = longest_ = 0;
    scratch_blocks_.clear();
    scratch.assign(static_cast<size_t>(count), {});
    for (Scratch& s : scratch) {
      Cutter counter;
      cut_scratch(s, m, longest, counter);
      scratch_blocks_.push_back(allocate(counter.used()));
      Cutter cutter(scratch_blocks_.back().get());
      cut_scratch(s, m, longest, cutter);
    }
    threads_ = count;
    longest_ = longest;
  }
}

}  // namespace pb
