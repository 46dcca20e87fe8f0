// The amx path: int8 models in tiles, all else as on the avx512 path. See inline.h for what must not be used here.
#include "kernels/attention_amx.h"
#include "kernels/int8_amx.h"
#include "isa/path_table.h"
#include "isa/vec_avx512.h"

namespace pb {

const Kernels kAmx = PB_TABLE(avx512::Vector, "amx", amx::Int8, amx::Attention);

}  // namespace pb
