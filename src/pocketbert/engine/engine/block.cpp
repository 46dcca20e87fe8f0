#include "engine/block.h"

#include <limits>

namespace pb {
namespace {

constexpr float kNoFloor = -std::numeric_limits<float>::infinity();

void copy(float* to, const float* from, Index count) { std::memcpy(to, from, count * kSize<float>); }

class BlockRun {
 public:
  BlockRun(const Task& task, Index number, const Rows& rows, Scratch& scratch)
      : task_(task), m_(task.model), number_(number), rows_(rows), s_(scratch), at_(scratch.at),
        strides_(scratch.strides) {
    at_ = scratch.buffers;  // of equal size: workers allocate nothing
    strides_ = m_.strides;
    if (rows.chosen) return;
    for (Index b = 0; b < std::ssize(at_); b++)
      if (m_.shared[b]) at_[b] = task.work.buffers[b] + rows.begin * strides_[b];
  }

  void run() {
    const Segment& segment = m_.segments[number_];
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
  float* row(Index buffer, Index r) const { return at_[buffer] + r * strides_[buffer]; }
  float* row(const Span& span, Index r) const { return row(span.buffer, r) + span.start; }
  Index stride(const Span& span) const { return strides_[span.buffer]; }

  // The first value of the stream: positions and types, and the words or, for a projection, the gathered words.
  void embed() {
    const Embeddings& e = *m_.embeddings;
    const Layout& layout = task_.work.layout;
    const Index width = m_.widths[0], word_width = columns(e.words);
    const auto add_row = [&](float* to, const float* from, Index count) {
      m_.kernels.add(to, 0, from, 0, nullptr, 1, count);
    };
    const auto put_word = [&](Index token, float* to, bool add) {
      const Index id = task_.batch.ids[token];
      if (const auto* floats = std::get_if<Matrix<float>>(&e.words)) {
        const float* from = floats->data + id * word_width;
        if (add)
          add_row(to, from, word_width);
        else
          copy(to, from, word_width);
        return;
      }
      const auto& int8 = std::get<Int8View>(e.words);
      const int8_t* from = int8.values.data + id * word_width;
      for (Index i = 0; i < word_width; i++) {
        const float value = static_cast<float>(from[i]) * int8.scale[id];
        to[i] = add ? to[i] + value : value;
      }
    };
    for (Index r = 0; r < rows_.count(); r++) {
      const Index token = rows_.token(r), text = layout.text[token];
      const Index first = layout.begin[text], end = layout.begin[text + 1];
      float* x = row(0, r);
      copy(x, e.positions.data + (token - first) * width, width);
      if (e.types && task_.batch.types) add_row(x, e.types->data + (*task_.batch.types)[token] * width, width);
      if (!e.gathered) {
        put_word(token, x, true);
        continue;
      }
      float* y = row(*e.gathered, r);
      if (!e.trigram) {
        put_word(token, y, false);
        continue;
      }
      for (Index neighbor : {token + 1, token, token - 1}) {  // zeros beyond the text's two ends
        if (neighbor >= first && neighbor < end)
          put_word(neighbor, y, false);
        else
          std::memset(y, 0, word_width * kSize<float>);
        y += word_width;
      }
    }
    if (e.norm) normalize(*e.norm, {0, 0, width});
  }

  void normalize(const Norm& norm, const Span& span) {
    m_.kernels.layer_norm(row(span, 0), stride(span), rows_.count(), span.width, norm.scale, norm.bias, norm.eps);
  }

  // Chosen rows of the results of earlier segments.
  void fetch(const std::vector<Index>& inputs) {
    for (Index b : inputs)
      for (Index r = 0; r < rows_.count(); r++)
        copy(row(b, r), task_.work.buffers[b] + rows_.token(r) * strides_[b], m_.widths[b]);
  }

  // Keys and values of one attention are read by the next segment while it stores those of the next attention, so there
  // are two sets of them, used in turn.
  void store_keys(const Attention& a) {
    const Layout& layout = task_.work.layout;
    const AttentionKernels& kernels = *m_.attention;
    const Index size = a.size(), key_bytes = kernels.key_bytes(size), value_bytes = kernels.value_bytes(size);
    for (Index r = 0; r < rows_.count(); r++) {
      const Index token = rows_.begin + r;
      KeyRow k;
      k.key = row(a.key, r);
      k.value = row(a.value, r);
      k.size = size;
      k.place = layout.place[token];
      const bool last = token + 1 == layout.begin[layout.text[token] + 1];
      k.gap = last ? round_up(k.place + 1, kTextPlaces) - k.place - 1 : 0;
      k.keys = task_.work.keys[number_ % 2];
      k.values = task_.work.values[number_ % 2];
      for (Index h = 0; h < a.heads; h++) {
        kernels.store(k);
        k.key += size;
        k.value += size;
        k.keys += layout.places * key_bytes;
        k.values += layout.places * value_bytes;
      }
    }
  }

  void attend(const Attention& a) {
    const Layout& layout = task_.work.layout;
    const AttentionKernels& kernels = *m_.attention;
    const char* keys = task_.work.keys[(number_ - 1) % 2];
    const char* values = task_.work.values[(number_ - 1) % 2];
    const Index size = a.size(), key_bytes = kernels.key_bytes(size), value_bytes = kernels.value_bytes(size);
    const auto text_of = [&](Index r) { return layout.text[rows_.token(r)]; };
    for (Index r = 0; r < rows_.count();) {
      const Index text = text_of(r);
      Index end = r + 1;
      while (end < rows_.count() && text_of(end) == text) end++;
      const Index first = layout.place[layout.begin[text]];
      HeadRows head;
      head.query_stride = stride(a.query);
      head.out_stride = stride(a.target);
      head.scratch = s_.attention;
      head.rows = end - r;
      head.tokens = layout.begin[text + 1] - layout.begin[text];
      head.size = size;
      for (Index h = 0; h < a.heads; h++) {
        head.query = row(a.query, r) + h * size;
        head.out = row(a.target, r) + h * size;
        head.keys = keys + (h * layout.places + first) * key_bytes;
        head.values = values + (h * layout.places + first) * value_bytes;
        kernels.run(head);
      }
      r = end;
    }
  }

  void run(const Dense& op) {
    const bool later = op.adds_later();
    float* target = row(op.target, 0);
    Output y{};
    y.out = later ? s_.product : target;
    y.out_stride = later ? m_.widest_product : stride(op.target);
    y.bias = op.bias;
    if (op.residual && !later) {
      y.residual = row(*op.residual, 0);
      y.residual_stride = stride(*op.residual);
    }
    y.floor = op.floor;
    y.after = op.after;
    if (const auto* int8 = std::get_if<Int8Product>(&op.weight))
      multiply_int8(op, *int8, y);
    else
      m_.kernels.gemm_float(row(op.source, 0), stride(op.source), rows_.count(), std::get<FloatWeight>(op.weight), y);
    if (later) {
      m_.kernels.add(y.out, y.out_stride, row(*op.residual, 0), stride(*op.residual), op.carry, rows_.count(),
                     op.target.width);
      for (Index r = 0; r < rows_.count(); r++)
        copy(row(op.target, r), y.out + r * y.out_stride, op.target.width);
    }
    if (op.norm) normalize(*op.norm, op.target);
  }

  // Outlier columns are multiplied in float32, and their product is the bias of the int8 product of the others.
  void multiply_int8(const Dense& op, const Int8Product& product, Output& y) {
    const float* source = row(op.source, 0);
    Index source_stride = stride(op.source);
    const Index width = op.source.width;
    if (product.outliers) {
      const Index count = std::ssize(product.outliers->columns);
      float* outlier = s_.outliers;
      for (Index r = 0; r < rows_.count(); r++) {
        float* masked = s_.masked + r * width;
        copy(masked, source + r * source_stride, width);
        for (Index column : product.outliers->columns) {
          *outlier++ = masked[column];
          masked[column] = 0;
        }
      }
      Output bias{};
      bias.out = s_.outlier_product;
      bias.out_stride = m_.widest_outlier_product;
      bias.bias = op.bias;
      bias.floor = kNoFloor;
      m_.kernels.gemm_fused(s_.outliers, count, rows_.count(), product.outliers->weight, bias);
      y.bias = bias.out;
      y.bias_stride = bias.out_stride;
      source = s_.masked;
      source_stride = width;
    }
    m_.kernels.quantize(source, source_stride, rows_.count(), width, s_.act, s_.act_scale);
    m_.kernels.gemm_int8(s_.act, s_.act_scale, rows_.count(), product.weight, y);
  }

  void answer() {
    const Index width = m_.result_width(task_.wanted.branch);
    float* out = task_.out + rows_.begin * width;
    if (!task_.wanted.branch) {
      if (m_.state)
        m_.kernels.affine(row(0, 0), strides_[0], out, width, rows_.count(), width, m_.state->scale, m_.state->shift);
      else
        write(out, {0, 0, width});
      return;
    }
    const std::vector<Dense>& ops = m_.branches[*task_.wanted.branch];
    const Span& target = ops.back().target;
    const bool direct = m_.direct[target.buffer];
    if (direct) {
      at_[target.buffer] = out;
      strides_[target.buffer] = width;
    }
    for (const Dense& op : ops) run(op);
    if (!direct) write(out, target);
  }

  void write(float* out, const Span& span) {
    for (Index r = 0; r < rows_.count(); r++, out += span.width) copy(out, row(span, r), span.width);
  }

  const Task& task_;
  const Model& m_;
  const Index number_;
  const Rows& rows_;
  Scratch& s_;
  std::vector<float*>& at_;
  std::vector<Index>& strides_;
};

}  // namespace

void run_block(const Task& task, Index segment, const Rows& rows, Scratch& scratch) {
  BlockRun(task, segment, rows, scratch).run();
}

}  // namespace pb
