// What an instruction set offers to the engine: one table of functions per path.
#pragma once

#include "isa/inline.h"

namespace pb {

// Applied to finished panels. ReLU is not among them: it is Output::floor.
enum class Activation { none, relu6, gelu, gelu_new, silu, tanh };

// Where a product's rows go: out = after(max(floor, product + bias) + residual).
struct Output {
  float* out;
  Index out_stride;
  const float* bias;      // padded to whole panels
  Index bias_stride;      // 0: the same bias for every row
  const float* residual;  // may be null
  Index residual_stride;
  float floor;       // -infinity, or 0 for ReLU
  Activation after;  // applied to each panel while it is in L1
};

struct FloatWeight {
  const float* panels;  // drawn in gemm_float.h
  Index in, out;
};

struct Int8Weight {
  const int8_t* panels;       // drawn in each path's int8_*.h
  const int32_t* offset_sum;  // (out) where sums start, to cancel the activations' offset; padded to whole panels
  const float* scale;         // (out) padded to whole panels
  Index in, out;
};

// Each token has a place among the packed keys and values; those of a text begin at a multiple of kTextPlaces.
constexpr Index kTextPlaces = 32;

// One token's key and value for one head.
struct KeyRow {
  const float* key;
  const float* value;
  Index size;  // of a head
  Index place;
  Index gap;   // places after this one that belong to no token
  char* keys;  // of all places
  char* values;
};

// One text's keys and values for one head, and the queries of some of its rows.
struct HeadRows {
  const float* query;
  Index query_stride;
  const char* keys;  // from the text's first place on
  const char* values;
  float* out;
  Index out_stride;
  char* scratch;
  Index rows, tokens, size;
};

// Attention, and the layout of keys and values that it reads: drawn in attention.h and attention_amx.h.
struct AttentionKernels {
  Index (*key_bytes)(Index size);  // per place
  Index (*value_bytes)(Index size);
  Index (*scratch_bytes)(Index size, Index tokens);
  void (*store)(const KeyRow& row);
  void (*run)(const HeadRows& head);
};

struct Kernels {
  const char* name;
  Index act_bytes;     // of one quantized activation
  Index int8_group;    // int8 panels are padded to a multiple of this many inputs
  Index int8_columns;  // and of this many outputs

  void (*pack_float)(const float* weight, Index in, Index out, float* panels);
  void (*gemm_float)(const float* a, Index stride, Index rows, const FloatWeight& w, const Output& y);
  void (*gemm_fused)(const float* a, Index stride, Index rows, const FloatWeight& w, const Output& y);

  void (*pack_int8)(const int8_t* weight, Index in, Index out, int8_t* panels, int32_t* offset_sum);
  // Quantize each row symmetrically: scale[row] = largest magnitude / 127.
  void (*quantize)(const float* x, Index stride, Index rows, Index width, void* act, float* scale);
  void (*gemm_int8)(const void* act, const float* act_scale, Index rows, const Int8Weight& w, const Output& y);

  AttentionKernels attention;
  AttentionKernels attention_int8;  // for models with int8 products
  // x += carry * residual; a null carry is 1
  void (*add)(float* x, Index stride, const float* residual, Index residual_stride, const float* carry, Index rows,
              Index width);
  void (*layer_norm)(float* x, Index stride, Index rows, Index width, const float* scale, const float* bias, float eps);
  void (*affine)(const float* x, Index stride, float* y, Index y_stride, Index rows, Index width, const float* scale,
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
