// The table of one path, from its vectors, its int8 kernels and its attention for int8 models.
#pragma once

#include "kernels/attention.h"
#include "kernels/rows.h"

#define PB_ATTENTION(A)                                              \
  {                                                                  \
    .key_bytes = A::key_bytes, .value_bytes = A::value_bytes,        \
    .scratch_bytes = A::scratch_bytes, .store = A::store, .run = A::run \
  }

#define PB_TABLE(V, NAME, INT8, ATTENTION_INT8)                                                                    \
  {                                                                                                                \
    .name = NAME, .act_bytes = sizeof(INT8::Act), .int8_group = INT8::kGroup, .int8_columns = INT8::kColumns,      \
    .pack_float = pack_float<V>, .gemm_float = gemm_float<V, false>, .gemm_fused = gemm_float<V, true>,            \
    .pack_int8 = INT8::pack, .quantize = INT8::quantize, .gemm_int8 = INT8::gemm,                                  \
    .attention = PB_ATTENTION(FloatAttention<V>), .attention_int8 = PB_ATTENTION(ATTENTION_INT8), .add = add<V>,   \
    .layer_norm = layer_norm<V>, .affine = affine<V>                                                               \
  }
