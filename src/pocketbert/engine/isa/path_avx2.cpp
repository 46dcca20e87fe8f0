// The avx2 path. See inline.h for what must not be used here.
#include "kernels/int8_avx2.h"
#include "isa/path_table.h"
#include "isa/vec_avx2.h"

namespace pb {

const Kernels kAvx2 = PB_TABLE(avx2::Vector, "avx2", avx2::Int8, FloatAttention<avx2::Vector>);

}  // namespace pb
