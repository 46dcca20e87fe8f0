#include "engine/model.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace pb {
namespace {

constexpr Index kMaxColumns = 1 << 20;      // of all buffers; as many as pocketbert.plan.check allows
constexpr Index kMaxBuffers = 256;
constexpr Index kMaxInt8Columns = 1 << 16;  // sums of 255 * 127 stay below 2^31
constexpr Index kPanel = 32;                // columns of the widest panel

[[noreturn]] void refuse(const std::string& what) { throw std::invalid_argument(what); }

void check_finite(const float* values, Index count, const char* what) {
  if (!std::all_of(values, values + count, [](float value) { return std::isfinite(value); }))
    refuse(std::string(what) + " holds NaN or infinity");
}

void check_finite(const Matrix<float>& m, const char* what) { check_finite(m.data, m.rows * m.columns, what); }

// The values of int8 weights: -128 would leave the range that the products are computed in.
void check_int8(const Int8View& w) {
  const Index in = w.values.columns, out = w.values.rows;
  for (Index i = 0; i < std::ssize(w.outliers); i++)
    if (w.outliers[i] < 0 || w.outliers[i] >= in || (i > 0 && w.outliers[i] <= w.outliers[i - 1]))
      refuse("outlier columns must ascend within the weight's columns");
  if (std::find(w.values.data, w.values.data + in * out, -128) != w.values.data + in * out)
    refuse("an int8 weight holds -128");
  check_finite(w.scale, out, "a weight's scale");
  if (std::any_of(w.scale, w.scale + out, [](float scale) { return scale < 0; })) refuse("a weight's scale is negative");
  for (int64_t column : w.outliers)
    for (Index row = 0; row < out; row++)
      if (w.values.data[row * in + column]) refuse("an int8 weight is not 0 in an outlier column");
}

// An activation by its name in a plan: the floor and the function of Output.
struct Named {
  const char* name;
  Activation after = Activation::none;
  float floor = -std::numeric_limits<float>::infinity();
};

Named activation_of(const std::string& name) {
  static constexpr Named kAll[] = {{"linear"},
                                   {.name = "relu", .floor = 0.0f},
                                   {"relu6", Activation::relu6},
                                   {"gelu", Activation::gelu},
                                   {"gelu_new", Activation::gelu_new},
                                   {"silu", Activation::silu},
                                   {"tanh", Activation::tanh}};
  for (const Named& each : kAll)
    if (name == each.name) return each;
  refuse("activation '" + name + "' is unknown");
}

}  // namespace

Index rows(const WeightView& weight) {
  const auto* floats = std::get_if<Matrix<float>>(&weight);
  return floats ? floats->rows : std::get<Int8View>(weight).values.rows;
}

Index columns(const WeightView& weight) {
  const auto* floats = std::get_if<Matrix<float>>(&weight);
  return floats ? floats->columns : std::get<Int8View>(weight).values.columns;
}

Index Model::stream_width() const {
  if (widths.empty()) refuse("the stream's buffer comes first");
  return widths[0];
}

Index Model::add_buffer(Index width) {
  Index used = 0;
  for (Index other : widths) used += other;
  if (width < 1 || width > kMaxColumns - used)
    refuse("a buffer of " + std::to_string(width) + " columns; all buffers may have " + std::to_string(kMaxColumns));
  if (std::ssize(widths) == kMaxBuffers) refuse("more than " + std::to_string(kMaxBuffers) + " buffers");
  widths.push_back(width);
  strides.push_back(round_up(width, 16) + 16);
  return std::ssize(widths) - 1;
}

void Model::check(const Span& span, const char* what) const {
  if (span.buffer < 0 || span.buffer >= std::ssize(widths))
    refuse(std::string(what) + ": there is no buffer " + std::to_string(span.buffer));
  const Index width = widths[span.buffer];
  if (span.start < 0 || span.width < 1 || span.start > width - span.width)
    refuse(std::string(what) + ": columns " + std::to_string(span.start) + " + " + std::to_string(span.width) +
           " of a buffer of " + std::to_string(width));
}

const float* Model::copy(const float* values, Index count, Index padded, const char* what) {
  check_finite(values, count, what);
  auto* kept = arena_.take<float>(padded);
  std::copy_n(values, count, kept);
  return kept;
}

std::optional<Norm> Model::copy(const std::optional<Norm>& norm, Index width) {
  if (!norm) return {};
  if (!(norm->eps >= 0 && norm->eps < 1)) refuse("a norm's eps must be at least 0 and below 1");
  const float* scale = copy(norm->scale, width, width, "a norm's scale");
  return Norm{scale, copy(norm->bias, width, width, "a norm's bias"), norm->eps};
}

void Model::set_embeddings(Embeddings e) {
  const Index width = stream_width();
  if (rows(e.words) < 1 || e.positions.rows < 1 || columns(e.words) < 1) refuse("an embedding table is empty");
  if (const auto* floats = std::get_if<Matrix<float>>(&e.words)) {
    check_finite(*floats, "the word table");
  } else {
    const auto& int8 = std::get<Int8View>(e.words);
    if (!int8.outliers.empty()) refuse("a word table has no outlier columns");
    check_finite(int8.scale, int8.values.rows, "the word table's scale");
    check_int8(int8);
  }
  check_finite(e.positions, "the position table");
  if (e.types) check_finite(*e.types, "the token type table");
  if (e.gathered) {
    check({*e.gathered, 0, e.gathered_width()}, "gathered words");
    if (*e.gathered == 0) refuse("gathered words cannot be in the stream");
    if (e.norm) refuse("where words are projected, the projection has the norm");
  } else {
    if (e.trigram) refuse("a trigram needs a projection");
    if (columns(e.words) != width) refuse("the word table must be as wide as the stream, or be projected");
  }
  e.norm = copy(e.norm, width);
  embeddings = std::move(e);
}

FloatWeight Model::pack(const Matrix<float>& w) {
  check_finite(w, "a weight");
  auto* panels = arena_.take<float>(w.columns * round_up(w.rows, kPanel));
  kernels.pack_float(w.data, w.columns, w.rows, panels);
  return {panels, w.columns, w.rows};
}

Int8Product Model::pack(const Int8View& w) {
  const Index in = w.values.columns, out = w.values.rows, padded = round_up(out, kPanel);
  if (in > kMaxInt8Columns) refuse("an int8 product of " + std::to_string(in) + " columns");
  check_int8(w);
  auto* panels = arena_.take<int8_t>(round_up(in, kernels.int8_group) * round_up(out, kernels.int8_columns));
  auto* offset_sum = arena_.take<int32_t>(padded);
  kernels.pack_int8(w.values.data, in, out, panels, offset_sum);
  Int8Product p{{panels, offset_sum, copy(w.scale, out, padded, "a weight's scale"), in, out}, {}};
  if (const Index count = std::ssize(w.outliers)) {
    p.outliers = {{w.outliers.begin(), w.outliers.end()}, pack(Matrix<float>{w.outlier_weight, out, count})};
    most_outliers = max(most_outliers, count);
    widest_outlier_product = max(widest_outlier_product, padded);
  }
  return p;
}

Dense Model::pack(const DenseView& view) {
  check(view.source, "source");
  check(view.target, "target");
  if (view.source.overlaps(view.target)) refuse("a product's target overlaps its source");
  const Index in = columns(view.weight), out = rows(view.weight), padded = round_up(out, kPanel);
  if (in != view.source.width || out != view.target.width)
    refuse("a weight of shape (" + std::to_string(out) + ", " + std::to_string(in) + ") between " +
           std::to_string(view.source.width) + " and " + std::to_string(view.target.width) + " columns");
  if (view.residual) {
    check(*view.residual, "residual");
    if (view.residual->width != view.target.width) refuse("a residual is not as wide as its target");
    if (*view.residual != view.target && view.residual->overlaps(view.target))
      refuse("a residual overlaps its target in part");
  }
  if (view.carry && !view.residual) refuse("a carry without a residual");
  const Named activation = activation_of(view.activation);
  Dense d{.source = view.source,
          .target = view.target,
          .residual = view.residual,
          .carry = view.residual && view.carry ? copy(view.carry, out, out, "a carry") : nullptr,
          .floor = activation.floor,
          .after = activation.after,
          .bias = copy(view.bias, out, padded, "a bias"),
          .norm = copy(view.norm, out),
          .weight = {}};
  std::visit([&](const auto& weight) { d.weight = pack(weight); }, view.weight);
  widest_input = max(widest_input, in);
  if (d.adds_later()) widest_product = max(widest_product, padded);
  return d;
}

void Model::add_dense(const DenseView& view) {
  Dense dense = pack(view);
  Step step{{dense.source}, dense.target};
  if (dense.residual) step.reads.push_back(*dense.residual);
  (branches.empty() ? segments.back().ops : branches.back()).push_back(std::move(dense));
  (branches.empty() ? steps_ : branch_steps_.back()).push_back(std::move(step));
}

void Model::add_attention(const Attention& a) {
  if (!branches.empty()) refuse("attention comes before the branches");
  for (const Span* span : {&a.query, &a.key, &a.value, &a.target}) {
    check(*span, "attention");
    if (span->width != a.target.width) refuse("attention's spans differ in width");
  }
  for (const Span* span : {&a.query, &a.key, &a.value})
    if (span->overlaps(a.target)) refuse("attention's target overlaps a source");
  if (a.heads < 1 || a.target.width % a.heads)
    refuse(std::to_string(a.heads) + " heads do not divide " + std::to_string(a.target.width) + " columns");
  segments.back().stores = a;
  segments.emplace_back().attention = a;
  steps_.push_back({{a.query, a.key, a.value}, a.target});
}

void Model::set_state(const Affine& affine) {
  const Index width = stream_width();
  const float* scale = copy(affine.scale, width, width, "the state's scale");
  state = {scale, copy(affine.shift, width, width, "the state's shift")};
}

Index Model::add_branch() {
  branches.emplace_back();
  branch_steps_.emplace_back();
  return std::ssize(branches) - 1;
}

Index Model::result_width(std::optional<Index> branch) const {
  if (!branch) return widths[0];
  if (*branch < 0 || *branch >= std::ssize(branches)) refuse("there is no branch " + std::to_string(*branch));
  return branches[*branch].back().target.width;
}

void Model::finish() {
  if (!embeddings) refuse("the embeddings are missing");
  for (const auto& ops : branches)
    if (ops.empty()) refuse("a branch has no product");
  check_projection();
  check_reads();
  check_widths();
  find_inputs();
  find_direct();
  choose_attention();
  finished = true;
}

void Model::choose_attention() {
  attention = &kernels.attention;
  for (const Segment& segment : segments)
    for (const Dense& op : segment.ops)
      if (std::holds_alternative<Int8Product>(op.weight)) attention = &kernels.attention_int8;
  for (const Segment& segment : segments)
    if (const auto& a = segment.stores) {
      key_row_bytes = max(key_row_bytes, a->heads * attention->key_bytes(a->size()));
      value_row_bytes = max(value_row_bytes, a->heads * attention->value_bytes(a->size()));
    }
}

Index Model::attention_scratch(Index tokens) const {
  Index bytes = 0;
  for (const Segment& segment : segments)
    if (segment.stores) bytes = max(bytes, attention->scratch_bytes(segment.stores->size(), tokens));
  return bytes;
}

// Gathered words become the stream before anything else happens.
void Model::check_projection() const {
  if (!embeddings->gathered) return;
  const Span stream{0, 0, widths[0]}, words{*embeddings->gathered, 0, embeddings->gathered_width()};
  if (steps_.empty() || steps_[0].reads != std::vector<Span>{words, stream} || steps_[0].target != stream)
    refuse("gathered words need a product that adds them to the stream, before all others");
}

// Nothing is read before it is written; a branch comes after all layers, and knows nothing of other branches.
void Model::check_reads() const {
  using Written = std::vector<std::vector<bool>>;
  const auto write = [](Written& written, const Span& span) {
    std::fill_n(written[span.buffer].begin() + span.start, span.width, true);
  };
  const auto follow = [&](Written& written, const std::vector<Step>& steps) {
    for (const Step& step : steps) {
      for (const Span& span : step.reads) {
        const auto first = written[span.buffer].begin() + span.start;
        if (std::find(first, first + span.width, false) != first + span.width)
          refuse("buffer " + std::to_string(span.buffer) + " is read before it is written");
      }
      write(written, step.target);
    }
  };
  Written written;
  for (Index width : widths) written.emplace_back(width, false);
  write(written, {0, 0, widths[0]});
  if (embeddings->gathered) write(written, {*embeddings->gathered, 0, embeddings->gathered_width()});
  follow(written, steps_);
  for (const auto& steps : branch_steps_) {
    Written after = written;
    follow(after, steps);
  }
}

// A buffer is as wide as it is used, so that no description asks for memory without need.
void Model::check_widths() const {
  std::vector<Index> used(widths.size(), 0);
  used[0] = widths[0];
  const auto count = [&](const std::vector<Step>& steps) {
    for (const Step& step : steps) {
      for (const Span& span : step.reads) used[span.buffer] = max(used[span.buffer], span.start + span.width);
      used[step.target.buffer] = max(used[step.target.buffer], step.target.start + step.target.width);
    }
  };
  count(steps_);
  for (const auto& steps : branch_steps_) count(steps);
  if (used != widths) refuse("a buffer is wider than what uses it");
}

// A buffer is shared if a segment reads a column of it that it has not written itself.
void Model::find_inputs() {
  const Span stream{0, 0, widths[0]};
  shared.assign(widths.size(), false);
  for (Segment& segment : segments) {
    segment.inputs.clear();
    std::vector<std::vector<bool>> written;
    for (Index width : widths) written.emplace_back(width, false);
    std::vector<bool> needed(widths.size(), false);
    const auto write = [&](const Span& span) {
      std::fill_n(written[span.buffer].begin() + span.start, span.width, true);
    };
    const auto read = [&](const Span& span) {
      const auto first = written[span.buffer].begin() + span.start;
      if (std::find(first, first + span.width, false) != first + span.width) needed[span.buffer] = true;
    };
    const auto run = [&](const std::vector<Dense>& ops) {
      for (const Dense& op : ops) {
        read(op.source);
        if (op.residual) read(*op.residual);
        write(op.target);
      }
    };
    const bool first = &segment == &segments.front();
    if (first) {
      write(stream);
      if (embeddings->gathered) write({*embeddings->gathered, 0, embeddings->gathered_width()});
    }
    if (segment.attention) {
      read(segment.attention->query);
      write(segment.attention->target);
    }
    run(segment.ops);
    if (segment.stores) {
      read(segment.stores->key);
      read(segment.stores->value);
    } else {
      read(stream);
      for (const auto& ops : branches) run(ops);
    }
    for (Index b = 0; b < std::ssize(widths); b++)
      if (needed[b]) {
        segment.inputs.push_back(b);
        shared[b] = true;
      }
  }
}

void Model::find_direct() {
  direct.assign(widths.size(), false);
  const auto touches = [](const std::vector<Dense>& ops, Index buffer) {
    return std::any_of(ops.begin(), ops.end(), [&](const Dense& op) {
      return op.source.buffer == buffer || op.target.buffer == buffer || (op.residual && op.residual->buffer == buffer);
    });
  };
  for (Index b = 1; b < std::ssize(widths); b++) {
    const bool inside =
        b == embeddings->gathered || std::any_of(segments.begin(), segments.end(), [&](const Segment& s) {
          const auto& a = s.stores;
          return touches(s.ops, b) || (a && (a->query.buffer == b || a->key.buffer == b || a->value.buffer == b ||
                                             a->target.buffer == b));
        });
    direct[b] = !inside && std::all_of(branches.begin(), branches.end(), [&](const std::vector<Dense>& ops) {
      return ops.back().target == Span{b, 0, widths[b]} || !touches(ops, b);
    });
  }
}

}  // namespace pb
