// The avx512 path. See inline.h for what must not be used here.
#include "kernels/int8_avx512.h"
#include "isa/path_table.h"
#include "isa/vec_avx512.h"

namespace pb {

const Kernels kAvx512 = PB_TABLE(avx512::Vector, "avx512", avx512::Int8, FloatAttention<avx512::Vector>);

}  // namespace pb
