// A program as the engine keeps it: checked, packed for one path, cut into segments at the attentions.
//
// Mirrors pocketbert.plan.structure. All functions throw std::invalid_argument for what describes no program.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "engine/memory.h"
#include "kernels/kernels.h"

namespace pb {

// Columns start .. start + width of a buffer.
struct Span {
  Index buffer = 0, start = 0, width = 0;

  bool operator==(const Span&) const = default;
  bool overlaps(const Span& other) const {
    return buffer == other.buffer && start < other.start + other.width && other.start < start + width;
  }
};

// A row-major array that somebody else owns.
template <class T>
struct Matrix {
  const T* data;
  Index rows, columns;
};

struct Int8View {
  Matrix<int8_t> values;              // (out, in)
  const float* scale;                 // (out)
  std::span<const int64_t> outliers;  // input columns that are in float32
  const float* outlier_weight;        // (out, outliers)
};

// A weight, or a word table, as the caller has it.
using WeightView = std::variant<Matrix<float>, Int8View>;
Index rows(const WeightView& weight);
Index columns(const WeightView& weight);

struct Norm {
  const float *scale, *bias;
  float eps;
};

struct Affine {
  const float *scale, *shift;
};

struct DenseView {
  Span source, target;
  std::optional<Span> residual;
  const float* carry = nullptr;  // what the residual is multiplied by; may be null
  std::string activation = "linear";
  WeightView weight;
  const float* bias = nullptr;
  std::optional<Norm> norm;
};

struct Outliers {
  std::vector<Index> columns;
  FloatWeight weight;
};

struct Int8Product {
  Int8Weight weight;
  std::optional<Outliers> outliers;
};

struct Dense {
  Span source, target;
  std::optional<Span> residual;
  const float* carry;  // may be null
  float floor;         // see Output
  Activation after;
  const float* bias;
  std::optional<Norm> norm;
  std::variant<FloatWeight, Int8Product> weight;

  // The kernel adds a residual as it stores the sums: before `after`, and without a carry. Otherwise it is added later.
  bool adds_later() const { return residual && (after != Activation::none || carry); }
};

struct Attention {
  Span query, key, value, target;
  Index heads;

  Index size() const { return target.width / heads; }
};

// The tables are not copied; `owner` keeps them alive.
struct Embeddings {
  WeightView words;         // (vocabulary, word width)
  Matrix<float> positions;  // (positions, stream)
  std::optional<Matrix<float>> types;
  bool trigram;
  std::optional<Index> gathered;  // the buffer that takes the words, where a projection to the stream follows
  std::optional<Norm> norm;
  std::shared_ptr<void> owner;

  Index gathered_width() const { return columns(words) * (trigram ? 3 : 1); }
};

// What runs on a block of rows without looking at others: attention's result first, then the products.
struct Segment {
  std::optional<Attention> attention;
  std::vector<Dense> ops;
  std::optional<Attention> stores;  // the next segment's attention: this segment stores its keys and values
  std::vector<Index> inputs;        // buffers whose rows come from an earlier segment
};

// What an operation reads and writes, in the order of the program.
struct Step {
  std::vector<Span> reads;
  Span target;
};

class Model {
 public:
  explicit Model(const Kernels& kernels) : kernels(kernels) {}

  // In this order: buffers, the first of which is the stream; embeddings, and their projection if they have one;
  // products and attentions; branches, each followed by its products. finish() refuses what reads a column that nothing
  // has written, and may be called again after it refused.
  Index add_buffer(Index width);
  void set_embeddings(Embeddings e);
  void add_dense(const DenseView& view);
  void add_attention(const Attention& attention);
  void set_state(const Affine& affine);
  Index add_branch();
  void finish();

  Index stream_width() const;
  Index result_width(std::optional<Index> branch) const;  // none: the hidden state
  Index attention_scratch(Index tokens) const;            // bytes

  const Kernels& kernels;
  std::vector<Index> widths;   // of the buffers
  std::vector<Index> strides;  // padded, and never a multiple of a page
  std::vector<bool> shared;    // buffers that are read across an attention, which have a row for every token
  std::vector<bool> direct;    // buffers that hold a branch's result and nothing else: they are the caller's array
  std::optional<Embeddings> embeddings;
  std::vector<Segment> segments{1};
  std::vector<std::vector<Dense>> branches;
  std::optional<Affine> state;  // from the stream to the hidden state
  // What scratch memory must hold per row: inputs, products whose residual is added later, outliers and their products.
  Index widest_input = 0, widest_product = 0, most_outliers = 0, widest_outlier_product = 0;
  Index key_row_bytes = 0, value_row_bytes = 0;  // of all heads
  const AttentionKernels* attention = nullptr;   // of the path, for float32 or for int8
  bool finished = false;

 private:
  Dense pack(const DenseView& view);
  FloatWeight pack(const Matrix<float>& weight);
  Int8Product pack(const Int8View& weight);
  void check(const Span& span, const char* what) const;
  const float* copy(const float* values, Index count, Index padded, const char* what);
  std::optional<Norm> copy(const std::optional<Norm>& norm, Index width);
  void check_projection() const;
  void check_reads() const;
  void check_widths() const;
  void find_inputs();
  void find_direct();
  void choose_attention();
  Arena arena_;
  std::vector<Step> steps_;
  std::vector<std::vector<Step>> branch_steps_;
};

}  // namespace pb
