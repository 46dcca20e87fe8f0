// The avx512 path. See inline.h for what must not be used here.
#include "kernels/int8_avx512.h"
#include "isa/path_table.h"
#include "isa/vec_avx512.h"

namespace pb {

const Kernels kAvx512 = PB_TABLE(Avx512, "avx512", vnni, uint8_t, FloatAttention<Avx512>);

}  // namespace pb
