#include "engine/workspace.h"

namespace pb {
namespace {

void lay_out(Layout& layout, const Batch& batch) {
  layout.text.resize(batch.tokens());
  layout.place.resize(batch.tokens());
  layout.begin.assign(batch.ends.begin(), batch.ends.end());
  layout.places = layout.longest = 0;
  for (Index t = 0; t < batch.texts(); t++) {
    const Index begin = layout.begin[t], end = layout.begin[t + 1];
    for (Index i = begin; i < end; i++) {
      layout.text[i] = t;
      layout.place[i] = layout.places + i - begin;
    }
    layout.places += round_up(end - begin, kTextPlaces);
    layout.longest = max(layout.longest, end - begin);
  }
}

// Cuts one allocation into aligned pieces: first counted without memory, then handed out.
class Cutter {
 public:
  explicit Cutter(char* base = nullptr) : base_(base) {}
  template <class T>
  T* take(Index count) {
    T* piece = base_ ? reinterpret_cast<T*>(base_ + used_) : nullptr;
    used_ += round_up(count * kSize<T>, kLine);
    return piece;
  }
  Index used() const { return used_; }

 private:
  char* base_;
  Index used_ = 0;
};

void cut_scratch(Scratch& s, const Model& m, Index longest, Cutter& cutter) {
  s.buffers.assign(m.widths.size(), nullptr);
  s.at = s.buffers;
  s.strides = m.strides;
  for (Index b = 0; b < std::ssize(m.widths); b++)
    if (!m.direct[b]) s.buffers[b] = cutter.take<float>(kMaxBlock * m.strides[b]);
  const Index in = round_up(m.widest_input, 64);
  s.act = cutter.take<char>(kMaxBlock * in * m.kernels.act_bytes);
  s.act_scale = cutter.take<float>(kMaxBlock);
  s.attention = cutter.take<char>(m.attention_scratch(longest));
  s.outlier_product = cutter.take<float>(kMaxBlock * m.widest_outlier_product);
  s.masked = cutter.take<float>(m.most_outliers ? kMaxBlock * in : 0);
  s.outliers = cutter.take<float>(kMaxBlock * m.most_outliers);
  s.product = cutter.take<float>(kMaxBlock * m.widest_product);
}

}  // namespace

void Workspace::prepare(const Model& m, const Batch& batch, int threads) {
  lay_out(layout, batch);
  if (batch.tokens() > tokens_ || layout.places > places_) {
    const Index tokens = max(batch.tokens(), tokens_), places = max(layout.places, places_);
    tokens_ = places_ = 0;  // if memory runs out below, the next call starts afresh
    blocks_.clear();
    buffers.assign(m.widths.size(), nullptr);
    const auto bytes = [&](Index count) {
      blocks_.push_back(allocate(count));
      return blocks_.back().get();
    };
    for (Index b = 0; b < std::ssize(m.widths); b++)
      if (m.shared[b]) buffers[b] = reinterpret_cast<float*>(bytes(tokens * m.strides[b] * kSize<float>));
    for (int i = 0; i < 2; i++) {
      keys[i] = bytes(places * m.key_row_bytes);
      values[i] = bytes(places * m.value_row_bytes);
    }
    tokens_ = tokens;
    places_ = places;
  }
  if (threads > threads_ || layout.longest > longest_) {
    const Index count = max(threads, threads_), longest = max(layout.longest, longest_);
    threads_ = longest_ = 0;
    scratch_blocks_.clear();
    scratch.assign(count, {});
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
