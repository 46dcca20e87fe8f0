// A program as the engine holds it: checked, packed for one path, cut into segments at the attentions.
//
// Mirrors pocketbert.plan.program. All functions throw std::invalid_argument for what describes no program.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "engine/memory.h"

namespace pb {

struct Span {
  int buffer = -1;
  int start = 0, width = 0;

  bool operator==(const Span&) const = default;
  bool overlaps(const Span& other) const {
    return buffer == other.buffer && start < other.start + other.width && other.start < start + width;
  }
};

struct Norm {
  const float *scale, *bias;
  float eps;
};

struct Dense {
  Span source, target;
  std::optional<Span> residual;
  const float* carry = nullptr;  // null: 1
  Activation activation = Activation::linear;
  const float* bias = nullptr;
  std::optional<Norm> norm;
  bool quantised = false;
  FloatWeight weight{};   // of all columns, or where quantised of the outlier columns
  Int8Weight int8{};      // where quantised
  std::vector<int> outliers;  // input columns that stay out of the int8 product
};

struct Attention {
  Span query, key, value, target;
  int heads, size;
};

struct Embeddings {
  const float* words = nullptr;  // (vocabulary, word_width), or null where they are int8:
  const int8_t* word_bytes = nullptr;
  const float* word_scale = nullptr;  // (vocabulary)
  const float *positions = nullptr, *types = nullptr;
  std::shared_ptr<void> owner;  // of the tables, which are not copied
  int vocabulary = 0, word_width = 0, most_tokens = 0, kinds = 0;
  bool trigram = false;
  int gathered = -1;  // the buffer of the gathered words, where a projection follows
  std::optional<Norm> norm;
};

// What runs on a block of rows without looking at others: attention's result first, then the products.
struct Segment {
  std::optional<Attention> attention;
  std::vector<Dense> ops;
  std::optional<Attention> stores;  // the next segment's attention, whose keys and values this one leaves
  std::vector<int> inputs;          // buffers whose rows come from an earlier segment
};

struct Branch {
  std::vector<Dense> ops;
};

// A weight as the caller has it.
struct WeightView {
  const float* values = nullptr;  // (out, in), or null where it is int8:
  const int8_t* bytes = nullptr;  // (out, in)
  const float* scale = nullptr;   // (out)
  const int64_t* outliers = nullptr;
  const float* outlier_weight = nullptr;  // (out, outlier_count)
  int outlier_count = 0;
  int in = 0, out = 0;
};

struct DenseView {
  Span source, target;
  std::optional<Span> residual;
  const float* carry = nullptr;
  std::string activation = "linear";
  WeightView weight;
  const float* bias = nullptr;
  const float *norm_scale = nullptr, *norm_bias = nullptr;
  float eps = 0;
};

class Model {
 public:
  explicit Model(const Kernels& kernels) : kernels(kernels) {}

  int add_buffer(int width);
  void set_embeddings(Embeddings e, const float* norm_scale, const float* norm_bias, float eps);
  void add_dense(const DenseView& view);
  void add_attention(const Attention& attention);
  void set_state(const float* scale, const float* shift);
  int add_branch();
  void add_branch_dense(const DenseView& view);
  void finish();

  int result_width(int branch) const;  // -1: the hidden state

  const Kernels& kernels;
  std::vector<int> widths;   // of the buffers; the first is the stream
  std::vector<int> strides;  // padded, and never a multiple of a page
  std::vector<bool> shared;  // buffers that cross an attention, which have a row for every token
  std::vector<bool> direct;  // buffers that hold a branch's result and nothing else: they are the caller's array
  Embeddings embeddings;
  std::vector<Segment> segments{1};
  std::vector<Branch> branches;
  const float *state_scale = nullptr, *state_shift = nullptr;
  // The largest of what scratch memory must hold for one row.
  int most_in = 0, most_out = 0, most_outlier_out = 0, most_outliers = 0;
  size_t most_key_row = 0, most_value_row = 0;  // bytes of all heads
  size_t attention_scratch(int tokens) const;
  const AttentionKernels* attention = nullptr;  // of the path, for float32 or for int8
  bool finished = false;

 private:
  Dense pack(const DenseView& view);
  void check(const Span& span, const char* what) const;
  const float* copy(const float* values, int count, int padded, const char* what);
  void check_open() const;
  void find_inputs();
  void find_direct();
  void choose_attention();
  Arena arena_;
};

Activation activation_of(const std::string& name);

}  // namespace pb
