// AMX tiles: registers of 16 rows by 64 bytes.
#pragma once

#include <immintrin.h>

#include "isa/inline.h"

namespace pb::amx {

constexpr int kTileRows = 16;

// Configures the tiles, and releases them at the end of the scope: context switches need not save released tiles.
//
// Products use tiles 0 .. 3 for sums, 4 and 5 for rows, 6 and 7 for weights, keys or values.
class Tiles {
 public:
  PB_INLINE Tiles() {
    struct alignas(64) Shapes {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    };
    const Shapes shapes;
    _tile_loadconfig(&shapes);
  }
  PB_INLINE ~Tiles() { _tile_release(); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

}  // namespace pb::amx
