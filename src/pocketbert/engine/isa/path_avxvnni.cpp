// The avxvnni path: the avx2 path with byte products. See inline.h for what must not be used here.
#include "kernels/int8_avxvnni.h"
#include "isa/path_table.h"
#include "isa/vec_avx2.h"

namespace pb {

const Kernels kAvxVnni = PB_TABLE(avx2::Vector, "avxvnni", avxvnni::Int8, FloatAttention<avx2::Vector>);

}  // namespace pb
