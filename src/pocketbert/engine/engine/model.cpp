#include "engine/model.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace pb {
namespace {

constexpr int kMostColumns = 1 << 24;
constexpr int kMostInt8Columns = 1 << 16;  // sums of 255 * 127 stay below 2^31

[[noreturn]] void refuse(const std::string& what) { throw std::invalid_argument(what); }

void check_finite(const float* values, size_t count, const char* what) {
  for (size_t i = 0; i < count; i++)
    if (!std::isfinite(values[i])) refuse(std::string(what) + " holds NaN or infinity");
}

int stride_of(int width) { return round_up(width, 16) + 16; }

}  // namespace

Activation activation_of(const std::string& name) {
  static const char* const kNames[] = {"linear", "relu", "relu6", "gelu", "gelu_new", "silu", "tanh"};
  for (int i = 0; i < 7; i++)
    if (name == kNames[i]) return static_cast<Activation>(i);
  refuse("activation '" + name + "' is unknown");
}

void Model::check_open() const {
  if (finished) refuse("the model is finished");
}

int Model::add_buffer(int width) {
  check_open();
  if (width < 1 || width > kMostColumns) refuse("a buffer of " + std::to_string(width) + " columns");
  widths.push_back(width);
  strides.push_back(stride_of(width));
  return static_cast<int>(widths.size()) - 1;
}

void Model::check(const Span& span, const char* what) const {
  if (span.buffer < 0 || span.buffer >= static_cast<int>(widths.size()))
    refuse(std::string(what) + ": there is no buffer " + std::to_string(span.buffer));
  const int width = widths[static_cast<size_t>(span.buffer)];
  if (span.start < 0 || span.width < 1 || span.start > width - span.width)
    refuse(std::string(what) + ": columns " + std::to_string(span.start) + " + " + std::to_string(span.width) +
           " of a buffer of " + std::to_string(width));
}

const float* Model::copy(const float* values, int count, int padded, const char* what) {
  check_finite(values, static_cast<size_t>(count), what);
  auto* kept = arena_.take<float>(static_cast<size_t>(padded));
  std::memcpy(kept, values, static_cast<size_t>(count) * sizeof(float));
  return kept;
}

void Model::set_embeddings(Embeddings e, const float* norm_scale, const float* norm_bias, float eps) {
  check_open();
  if (widths.empty()) refuse("the stream's buffer comes first");
  if (e.vocabulary < 1 || e.most_tokens < 1 || e.word_width < 1) refuse("an embedding table is empty");
  const auto size = [](int rows, int columns) { return static_cast<size_t>(rows) * static_cast<size_t>(columns); };
  if (e.words)
    check_finite(e.words, size(e.vocabulary, e.word_width), "the word table");
  else
    check_finite(e.word_scale, static_cast<size_t>(e.vocabulary), "the word table's scale");
  check_finite(e.positions, size(e.most_tokens, widths[0]), "the position table");
  if (e.types) check_finite(e.types, size(e.kinds, widths[0]), "the token type table");
  if (e.gathered < 0) {
    if (e.trigram) refuse("a trigram needs a projection");
    if (e.word_width != widths[0]) refuse("the word table must be as wide as the stream, or be projected");
  } else {
    check({e.gathered, 0, e.word_width * (e.trigram ? 3 : 1)}, "gathered words");
    if (e.gathered == 0) refuse("gathered words cannot stand in the stream");
  }
  if (norm_scale)
    e.norm = Norm{copy(norm_scale, widths[0], widths[0], "a norm's scale"),
                  copy(norm_bias, widths[0], widths[0], "a norm's bias"), eps};
  embeddings = std::move(e);
}

Dense Model::pack(const DenseView& view) {
  check(view.source, "source");
  check(view.target, "target");
  if (view.source.overlaps(view.target)) refuse("a product's target overlaps its source");
  const WeightView& w = view.weight;
  if (w.in != view.source.width || w.out != view.target.width)
    refuse("a weight of shape (" + std::to_string(w.out) + ", " + std::to_string(w.in) + ") between " +
           std::to_string(view.source.width) + " and " + std::to_string(view.target.width) + " columns");
  Dense d;
  d.source = view.source;
  d.target = view.target;
  d.residual = view.residual;
  if (view.residual) {
    check(*view.residual, "residual");
    if (view.residual->width != view.target.width) refuse("a residual is not as wide as its target");
    if (*view.residual != view.target && view.residual->overlaps(view.target))
      refuse("a residual overlaps its target in part");
    if (view.carry) d.carry = copy(view.carry, w.out, w.out, "a carry");
  }
  d.activation = activation_of(view.activation);
  const int padded = round_up(w.out, 32);
  d.bias = copy(view.bias, w.out, padded, "a bias");
  if (view.norm_scale)
    d.norm = Norm{copy(view.norm_scale, w.out, w.out, "a norm's scale"),
                  copy(view.norm_bias, w.out, w.out, "a norm's bias"), view.eps};

  const auto pack_floats = [&](const float* values, int in) {
    check_finite(values, static_cast<size_t>(in) * static_cast<size_t>(w.out), "a weight");
    auto* panels = arena_.take<float>(static_cast<size_t>(in) * static_cast<size_t>(padded));
    kernels.pack_float(values, in, w.out, panels);
    return FloatWeight{panels, in, w.out};
  };
  if (w.values) {
    d.weight = pack_floats(w.values, w.in);
  } else {
    if (w.in > kMostInt8Columns) refuse("an int8 product of " + std::to_string(w.in) + " columns");
    d.quantised = true;
    for (int i = 0; i < w.outlier_count; i++) {
      const int64_t column = w.outliers[i];
      if (column < 0 || column >= w.in || (i > 0 && column <= w.outliers[i - 1]))
        refuse("outlier columns must ascend within the weight's columns");
      d.outliers.push_back(static_cast<int>(column));
    }
    auto* panels = arena_.take<int8_t>(kernels.int8_bytes(w.in, w.out));
    auto* offset_sum = arena_.take<int32_t>(static_cast<size_t>(padded));
    kernels.pack_int8(w.bytes, w.in, w.out, panels, offset_sum);
    d.int8 = {panels, offset_sum, copy(w.scale, w.out, padded, "a weight's scale"), w.in, w.out};
    if (w.outlier_count) {
      d.weight = pack_floats(w.outlier_weight, w.outlier_count);
      most_outliers = most(most_outliers, w.outlier_count);
      most_outlier_out = most(most_outlier_out, padded);
    }
  }
  most_in = most(most_in, w.in);
  if (d.residual && (d.activation > Activation::relu || d.carry)) most_out = most(most_out, padded);
  return d;
}

void Model::add_dense(const DenseView& view) {
  check_open();
  segments.back().ops.push_back(pack(view));
}

void Model::add_attention(const Attention& a) {
  check_open();
  for (const Span* span : {&a.query, &a.key, &a.value, &a.target}) {
    check(*span, "attention");
    if (span->width != a.target.width) refuse("attention's spans differ in width");
  }
  for (const Span* span : {&a.query, &a.key, &a.value})
    if (span->overlaps(a.target)) refuse("attention's target overlaps a source");
  if (a.heads < 1 || a.target.width % a.heads)
    refuse(std::to_string(a.heads) + " heads do not divide " + std::to_string(a.target.width) + " columns");
  Attention kept = a;
  kept.size = a.target.width / a.heads;
  segments.back().stores = kept;
  segments.emplace_back().attention = kept;
}

void Model::set_state(const float* scale, const float* shift) {
  check_open();
  if (widths.empty()) refuse("the stream's buffer comes first");
  state_scale = copy(scale, widths[0], widths[0], "the state's scale");
  state_shift = copy(shift, widths[0], widths[0], "the state's shift");
}

int Model::add_branch() {
  check_open();
  branches.emplace_back();
  return static_cast<int>(branches.size()) - 1;
}

void Model::add_branch_dense(const DenseView& view) {
  check_open();
  if (branches.empty()) refuse("no branch was begun");
  branches.back().ops.push_back(pack(view));
}

int Model::result_width(int branch) const {
  if (branch < -1 || branch >= static_cast<int>(branches.size()))
    refuse("there is no branch " + std::to_string(branch));
  return branch < 0 ? widths[0] : branches[static_cast<size_t>(branch)].ops.back().target.width;
}

void Model::finish() {
  check_open();
  if (!embeddings.positions) refuse("the embeddings are missing");
  for (const Branch& branch : branches)
    if (branch.ops.empty()) refuse("a branch has no product");
  find_inputs();
  find_direct();
  choose_attention();
  finished = true;
}

void Model::choose_attention() {
  attention = &kernels.attention;
  for (const Segment& segment : segments)
    for (const Dense& op : segment.ops)
      if (op.quantised) attention = &kernels.attention_int8;
  for (const Segment& segment : segments) {
    if (!segment.stores) continue;
    const auto heads = static_cast<size_t>(segment.stores->heads);
    most_key_row = std::max(most_key_row, heads * attention->key_bytes(segment.stores->size));
    most_value_row = std::max(most_value_row, heads * attention->value_bytes(segment.stores->size));
  }
}

size_t Model::attention_scratch(int tokens) const {
  size_t bytes = 0;
  for (const Segment& segment : segments)
    if (segment.stores) bytes = std::max(bytes, attention->scratch_bytes(segment.stores->size, tokens));
  return bytes;
}

// A buffer is shared if a segment reads a column of it that it has not written itself.
void Model::find_inputs() {
  shared.assign(widths.size(), false);
  for (Segment& segment : segments) {
    std::vector<std::vector<bool>> written;
    for (int width : widths) written.emplace_back(width, false);
    std::vector<bool> needed(widths.size(), false);
    const auto write = [&](const Span& span) {
      auto& columns = written[static_cast<size_t>(span.buffer)];
      std::fill_n(columns.begin() + span.start, span.width, true);
    };
    const auto read = [&](const Span& span) {
      const auto& columns = written[static_cast<size_t>(span.buffer)];
      const auto first = columns.begin() + span.start;
      if (std::find(first, first + span.width, false) != first + span.width)
        needed[static_cast<size_t>(span.buffer)] = true;
    };
    const auto go = [&](const std::vector<Dense>& ops) {
      for (const Dense& op : ops) {
        read(op.source);
        if (op.residual) read(*op.residual);
        write(op.target);
      }
    };
    const bool first = &segment == &segments.front();
    if (first) {
      write({0, 0, widths[0]});
      if (embeddings.gathered >= 0)
        write({embeddings.gathered, 0, embeddings.word_width * (embeddings.trigram ? 3 : 1)});
    }
    if (segment.attention) {
      read(segment.attention->query);
      write(segment.attention->target);
    }
    go(segment.ops);
    if (segment.stores) {
      read(segment.stores->key);
      read(segment.stores->value);
    } else {
      read({0, 0, widths[0]});
      for (const Branch& branch : branches) go(branch.ops);
    }
    for (size_t b = 0; b < widths.size(); b++)
      if (needed[b]) {
        if (first) refuse("buffer " + std::to_string(b) + " is read before it is written");
        segment.inputs.push_back(static_cast<int>(b));
        shared[b] = true;
      }
  }
}

void Model::find_direct() {
  direct.assign(widths.size(), false);
  const auto touches = [](const std::vector<Dense>& ops, int buffer) {
    return std::any_of(ops.begin(), ops.end(), [&](const Dense& op) {
      return op.source.buffer == buffer || op.target.buffer == buffer || (op.residual && op.residual->buffer == buffer);
    });
  };
  for (int b = 1; b < static_cast<int>(widths.size()); b++) {
    const bool inside =
        b == embeddings.gathered || std::any_of(segments.begin(), segments.end(), [&](const Segment& s) {
          const auto& a = s.stores;
          return touches(s.ops, b) || (a && (a->query.buffer == b || a->key.buffer == b || a->value.buffer == b ||
                                             a->target.buffer == b));
        });
    const Span whole{b, 0, widths[static_cast<size_t>(b)]};
    direct[static_cast<size_t>(b)] =
        !inside && std::all_of(branches.begin(), branches.end(), [&](const Branch& branch) {
          return branch.ops.back().target == whole || !touches(branch.ops, b);
        });
  }
}

}  // namespace pb
