// The portable path. See inline.h for what must not be used here.
#include "kernels/int8_portable.h"
#include "isa/path_table.h"
#include "isa/vec_portable.h"

namespace pb {

const Kernels kPortable = PB_TABLE(portable::Vector, "portable", portable::Int8, FloatAttention<portable::Vector>);

}  // namespace pb
