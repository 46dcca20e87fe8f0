#include "engine/limit.h"

#include <chrono>
#include <limits>
#include <stdexcept>
#include <vector>

#include "engine/memory.h"

namespace pb {

double int8_rate(const Kernels& kernels, int rows, int in, int out) {
  if (rows < 1 || in < 1 || out < 1 || rows > 4096 || in > 8192 || out > 8192)
    throw std::invalid_argument("a product of this shape is not measured");
  const auto padded = static_cast<size_t>(round_up(out, 32));
  const auto values = static_cast<size_t>(in) * static_cast<size_t>(out);
  Arena arena;
  const std::vector<int8_t> weight(values, 3);
  auto* panels = arena.take<int8_t>(kernels.int8_bytes(in, out));
  auto* offset_sum = arena.take<int32_t>(padded);
  kernels.pack_int8(weight.data(), in, out, panels, offset_sum);
  const std::vector<float> x(static_cast<size_t>(rows) * static_cast<size_t>(in), 0.5f), scale(padded, 1e-3f);
  auto* act = arena.take<char>(static_cast<size_t>(round_up(rows, 16)) * static_cast<size_t>(round_up(in, 64)) * 2);
  auto* act_scale = arena.take<float>(static_cast<size_t>(rows));
  kernels.quantise(x.data(), in, rows, in, act, act_scale);

  Output y{};
  y.out = arena.take<float>(static_cast<size_t>(rows) * (padded + 16));
  y.out_stride = static_cast<int>(padded) + 16;
  y.bias = scale.data();
  y.floor = -std::numeric_limits<float>::infinity();
  const Int8Weight w{panels, offset_sum, scale.data(), in, out};
  double best = 0;
  using Clock = std::chrono::steady_clock;
  for (const auto end = Clock::now() + std::chrono::milliseconds(300); Clock::now() < end;) {
    const auto start = Clock::now();
    for (int i = 0; i < 8; i++) kernels.gemm_int8(act, act_scale, rows, w, y);
    const std::chrono::duration<double> seconds = Clock::now() - start;
    const double rate = 16.0 * static_cast<double>(rows) * static_cast<double>(values) / seconds.count();
    best = rate > best ? rate : best;
  }
  return best;
}

}  // namespace pb
