// The table of one path, from its vectors and its int8 kernels.
#pragma once

#include "attention.h"
#include "rows.h"

#define PB_TABLE(V, NAME, INT8, ACT)                                                                    \
  {                                                                                                     \
    .name = NAME, .panel = 16 * V::kVectors, .act_bytes = sizeof(ACT), .act_align = INT8::kGroup,       \
    .pack_float = pack_float<V>, .gemm_float = gemm_float<V, false>, .gemm_fused = gemm_float<V, true>, \
    .int8_bytes = INT8::bytes, .pack_int8 = INT8::pack, .quantise = INT8::quantise,                     \
    .gemm_int8 = INT8::gemm, .attention = attention<V>, .activate = activate<V>, .add = add<V>,         \
    .layer_norm = layer_norm<V>, .affine = affine<V>                                                    \
  }
