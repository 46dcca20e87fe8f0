// What an instruction set offers to the engine: a table of functions, one table a path.
#pragma once

#include <cstddef>
#include <cstdint>

#include "isa/inline.h"

namespace pb {

enum class Activation : int { linear, relu, relu6, gelu, gelu_new, silu, tanh };

// Where a product's rows go: out = after(max(floor, product + bias) + residual).
struct Output {
  float* out;
  int out_stride;
  const float* bias;    // padded to whole panels
  int bias_stride;      // 0: the same bias for every row
  const float* residual;  // null: none
  int residual_stride;
  float floor;            // -infinity, or 0 for ReLU
  Activation after;       // applied to each panel while it is in the first cache
};

struct FloatWeight {
  const float* panels;  // [panel][in][columns of a panel]
  int in, out;
};

struct Int8Weight {
  const int8_t* panels;       // in the path's own order
  const int32_t* offset_sum;  // (out) what the activations' offset adds, negated; padded to whole panels
  const float* scale;         // (out) padded to whole panels
  int in, out;
};

// Tokens have places among keys and values; those of a text begin at a multiple of kTextPlaces.
constexpr int kTextPlaces = 32;

// One token's key and value for one head.
struct KeyRow {
  const float* key;
  const float* value;
  int size;
  int place;
  int gap;  // places after this one that belong to no token
  char* keys;    // of all places
  char* values;
};

// One text's keys and values for one head, and the queries of some of its rows.
struct HeadRows {
  const float* query;
  int query_stride;
  const char* keys;  // from the text's first place on
  const char* values;
  float* out;
  int out_stride;
  char* scratch;
  int rows, tokens, size;
};

// How keys and values are laid out, and attention to them.
struct AttentionKernels {
  size_t (*key_bytes)(int size);  // of a place
  size_t (*value_bytes)(int size);
  size_t (*scratch_bytes)(int size, int tokens);
  void (*store)(const KeyRow& row);
  void (*run)(const HeadRows& head);
};

struct Kernels {
  const char* name;
  int panel;        // columns of a weight panel
  int act_bytes;    // of a quantised activation
  int act_align;    // rows of quantised activations are padded to a multiple of this

  void (*pack_float)(const float* weight, int in, int out, float* panels);
  void (*gemm_float)(const float* a, int stride, int rows, const FloatWeight& w, const Output& y);
  void (*gemm_fused)(const float* a, int stride, int rows, const FloatWeight& w, const Output& y);

  size_t (*int8_bytes)(int in, int out);
  void (*pack_int8)(const int8_t* weight, int in, int out, int8_t* panels, int32_t* offset_sum);
  // Quantise rows: scale[row] = largest magnitude / 127.
  void (*quantise)(const float* x, int stride, int rows, int width, void* act, float* scale);
  void (*gemm_int8)(const void* act, const float* act_scale, int rows, const Int8Weight& w, const Output& y);

  AttentionKernels attention;
  AttentionKernels attention_int8;  // for models whose products are in int8
  void (*activate)(Activation kind, float* x, int stride, int rows, int width);
  // x = x + carry * residual, carry null for 1
  void (*add)(float* x, int stride, const float* residual, int residual_stride, const float* carry, int rows, int width);
  void (*layer_norm)(float* x, int stride, int rows, int width, const float* scale, const float* bias, float eps);
  void (*affine)(const float* x, int stride, float* y, int y_stride, int rows, int width, const float* scale,
                 const float* shift);
};

extern const Kernels kPortable;
#if defined(PB_X86)
extern const Kernels kAvx2;
extern const Kernels kAvxVnni;
extern const Kernels kAvx512;
extern const Kernels kAmx;
#endif

}  // namespace pb
