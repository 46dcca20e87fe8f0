#include "engine/block.h"

#include <limits>

namespace pb {
namespace {

class BlockRun {
 public:
  BlockRun(const Task& task, int number, const Rows& rows, Scratch& scratch)
      : task_(task), m_(task.model), number_(number), rows_(rows), s_(scratch), at_(scratch.at),
        strides_(scratch.strides) {
    at_ = scratch.buffers;  // of equal size: workers allocate nothing
    strides_ = m_.strides;
    if (!rows.chosen)
      for (size_t b = 0; b < at_.size(); b++)
        if (m_.shared[b]) at_[b] = task.work.buffers[b] + static_cast<size_t>(rows.begin) * stride(b);
  }

  void go() {
    const Segment& segment = m_.segments[static_cast<size_t>(number_)];
    if (number_ == 0)
      embed();
    else if (rows_.chosen)
      fetch(segment.inputs);
    if (segment.attention) attend(*segment.attention);
    for (const Dense& op : segment.ops) run(op);
    if (segment.stores)
      store_keys(*segment.stores);
    else
      answer();
  }

 private:
  size_t stride(size_t buffer) const { return static_cast<size_t>(strides_[buffer]); }
  float* row(int buffer, int r) const {
    const auto b = static_cast<size_t>(buffer);
    return at_[b] + static_cast<size_t>(r) * stride(b);
  }
  float* start(const Span& span) const { return row(span.buffer, 0) + span.start; }
  int stride(const Span& span) const { return strides_[static_cast<size_t>(span.buffer)]; }

  static void copy(float* to, const float* from, int count) {
    std::memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
  }

  // The first value of the stream: positions and types, and the words or, for a projection, the gathered words.
  void embed() {
    const Embeddings& e = m_.embeddings;
    const Layout& layout = task_.work.layout;
    const int width = m_.widths[0];
    const auto put = [&](int token, float* to, bool added) {
      const auto id = static_cast<size_t>(task_.batch.ids[token]), from = id * static_cast<size_t>(e.word_width);
      if (e.words) {
        if (added)
          m_.kernels.add(to, 0, e.words + from, 0, nullptr, 1, e.word_width);
        else
          copy(to, e.words + from, e.word_width);
        return;
      }
      const float scale = e.word_scale[id];
      for (int i = 0; i < e.word_width; i++) {
        const float value = static_cast<float>(e.word_bytes[from + static_cast<size_t>(i)]) * scale;
        to[i] = added ? to[i] + value : value;
      }
    };
    for (int r = 0; r < rows_.count(); r++) {
      const int token = rows_.token(r);
      const auto text = static_cast<size_t>(layout.text[static_cast<size_t>(token)]);
      const int first = layout.begin[text], end = layout.begin[text + 1];
      float* x = row(0, r);
      copy(x, e.positions + static_cast<size_t>(token - first) * static_cast<size_t>(width), width);
      if (e.types && task_.batch.types)
        m_.kernels.add(x, 0, e.types + static_cast<size_t>(task_.batch.types[token]) * static_cast<size_t>(width), 0,
                       nullptr, 1, width);
      if (e.gathered < 0) {
        put(token, x, true);
        continue;
      }
      float* y = row(e.gathered, r);
      if (!e.trigram) {
        put(token, y, false);
        continue;
      }
      for (int neighbour : {token + 1, token, token - 1}) {  // nothing is seen beyond the text's two ends
        if (neighbour >= first && neighbour < end)
          put(neighbour, y, false);
        else
          std::memset(y, 0, static_cast<size_t>(e.word_width) * sizeof(float));
        y += e.word_width;
      }
    }
    if (e.norm)
      m_.kernels.layer_norm(row(0, 0), strides_[0], rows_.count(), width, e.norm->scale, e.norm->bias, e.norm->eps);
  }

  // Chosen rows of what earlier segments left.
  void fetch(const std::vector<int>& inputs) {
    for (int buffer : inputs) {
      const auto b = static_cast<size_t>(buffer);
      for (int r = 0; r < rows_.count(); r++)
        copy(row(buffer, r), task_.work.buffers[b] + static_cast<size_t>(rows_.token(r)) * stride(b), m_.widths[b]);
    }
  }

  void store_keys(const Attention& a) {
    const Layout& layout = task_.work.layout;
    const AttentionKernels& kernels = *m_.attention;
    const auto padded = static_cast<size_t>(layout.padded);
    const size_t key_bytes = kernels.key_bytes(a.size), value_bytes = kernels.value_bytes(a.size);
    for (int r = 0; r < rows_.count(); r++) {
      const auto token = static_cast<size_t>(rows_.begin + r);
      const auto text = static_cast<size_t>(layout.text[token]);
      KeyRow k;
      k.key = row(a.key.buffer, r) + a.key.start;
      k.value = row(a.value.buffer, r) + a.value.start;
      k.size = a.size;
      k.place = layout.place[token];
      const bool last = static_cast<int>(token) + 1 == layout.begin[text + 1];
      k.gap = last ? round_up(k.place + 1, kTextPlaces) - k.place - 1 : 0;
      k.keys = task_.work.keys[number_ & 1];
      k.values = task_.work.values[number_ & 1];
      for (int h = 0; h < a.heads; h++) {
        kernels.store(k);
        k.key += a.size;
        k.value += a.size;
        k.keys += padded * key_bytes;
        k.values += padded * value_bytes;
      }
    }
  }

  void attend(const Attention& a) {
    const Layout& layout = task_.work.layout;
    const AttentionKernels& kernels = *m_.attention;
    const char* keys = task_.work.keys[(number_ - 1) & 1];
    const char* values = task_.work.values[(number_ - 1) & 1];
    const auto padded = static_cast<size_t>(layout.padded), size = static_cast<size_t>(a.size);
    const size_t key_bytes = kernels.key_bytes(a.size), value_bytes = kernels.value_bytes(a.size);
    const auto text_of = [&](int r) { return layout.text[static_cast<size_t>(rows_.token(r))]; };
    for (int r = 0; r < rows_.count();) {
      const auto text = static_cast<size_t>(text_of(r));
      int end = r + 1;
      while (end < rows_.count() && text_of(end) == static_cast<int>(text)) end++;
      const auto first = static_cast<size_t>(layout.place[static_cast<size_t>(layout.begin[text])]);
      HeadRows head;
      head.query_stride = stride(a.query);
      head.out_stride = stride(a.target);
      head.scratch = s_.attention;
      head.rows = end - r;
      head.tokens = layout.begin[text + 1] - layout.begin[text];
      head.size = a.size;
      for (size_t h = 0; h < static_cast<size_t>(a.heads); h++) {
        head.query = row(a.query.buffer, r) + a.query.start + h * size;
        head.out = row(a.target.buffer, r) + a.target.start + h * size;
        head.keys = keys + (h * padded + first) * key_bytes;
        head.values = values + (h * padded + first) * value_bytes;
        kernels.run(head);
      }
      r = end;
    }
  }

  void run(const Dense& op) {
    const int count = rows_.count();
    const bool apart = op.residual && (op.activation > Activation::relu || op.carry);
    float* target = start(op.target);
    Output y{};
    y.out = apart ? s_.product : target;
    y.out_stride = apart ? m_.most_out : stride(op.target);
    y.bias = op.bias;
    if (op.residual && !apart) {
      y.residual = start(*op.residual);
      y.residual_stride = stride(*op.residual);
    }
    y.floor = op.activation == Activation::relu ? 0.0f : -std::numeric_limits<float>::infinity();
    y.after = op.activation > Activation::relu ? op.activation : Activation::linear;
    if (op.quantised)
      multiply_int8(op, y);
    else
      m_.kernels.gemm_float(start(op.source), stride(op.source), count, op.weight, y);
    if (apart) {
      m_.kernels.add(y.out, y.out_stride, start(*op.residual), stride(*op.residual), op.carry, count, op.target.width);
      for (int r = 0; r < count; r++)
        copy(target + static_cast<size_t>(r) * static_cast<size_t>(stride(op.target)),
             y.out + static_cast<size_t>(r) * static_cast<size_t>(y.out_stride), op.target.width);
    }
    if (op.norm)
      m_.kernels.layer_norm(target, stride(op.target), count, op.target.width, op.norm->scale, op.norm->bias,
                            op.norm->eps);
  }

  void multiply_int8(const Dense& op, Output& y) {
    const float* source = start(op.source);
    int source_stride = stride(op.source);
    if (!op.outliers.empty()) {
      const int few = static_cast<int>(op.outliers.size()), width = op.source.width;
      for (int r = 0; r < rows_.count(); r++) {
        float* masked = s_.masked + static_cast<size_t>(r) * static_cast<size_t>(width);
        copy(masked, source + static_cast<size_t>(r) * static_cast<size_t>(source_stride), width);
        for (int i = 0; i < few; i++) {
          float& value = masked[op.outliers[static_cast<size_t>(i)]];
          s_.outliers[r * few + i] = value;
          value = 0;
        }
      }
      Output seed{};
      seed.out = s_.seed;
      seed.out_stride = m_.most_outlier_out;
      seed.bias = op.bias;
      seed.floor = -std::numeric_limits<float>::infinity();
      m_.kernels.gemm_fused(s_.outliers, few, rows_.count(), op.weight, seed);
      y.bias = s_.seed;
      y.bias_stride = seed.out_stride;
      source = s_.masked;
      source_stride = width;
    }
    m_.kernels.quantise(source, source_stride, rows_.count(), op.source.width, s_.act, s_.act_scale);
    m_.kernels.gemm_int8(s_.act, s_.act_scale, rows_.count(), op.int8, y);
  }

  void answer() {
    const int width = m_.result_width(task_.wanted.branch);
    float* out = task_.out + static_cast<size_t>(rows_.begin) * static_cast<size_t>(width);
    if (task_.wanted.branch < 0) {
      if (m_.state_scale)
        m_.kernels.affine(row(0, 0), strides_[0], out, width, rows_.count(), width, m_.state_scale, m_.state_shift);
      else
        write(out, {0, 0, width});
      return;
    }
    const Branch& branch = m_.branches[static_cast<size_t>(task_.wanted.branch)];
    const Span& target = branch.ops.back().target;
    const auto b = static_cast<size_t>(target.buffer);
    if (m_.direct[b]) {
      at_[b] = out;
      strides_[b] = width;
    }
    for (const Dense& op : branch.ops) run(op);
    if (!m_.direct[b]) write(out, target);
  }

  void write(float* out, const Span& span) {
    for (int r = 0; r < rows_.count(); r++, out += span.width) copy(out, row(span.buffer, r) + span.start, span.width);
  }

  const Task& task_;
  const Model& m_;
  const int number_;
  const Rows& rows_;
  Scratch& s_;
  std::vector<float*>& at_;
  std::vector<int>& strides_;
};

}  // namespace

void run_block(const Task& task, int number, const Rows& rows, Scratch& scratch) {
  BlockRun(task, number, rows, scratch).go();
}

}  // namespace pb
