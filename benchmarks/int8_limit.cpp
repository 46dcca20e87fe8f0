// What the int8 product alone reaches on this CPU: the limit that benchmarks/runtime.py compares the engine with.
//
//   int8_limit [threads]
//
// Prints operations per second (two per multiply-add) of all threads together, on the best path, for products of
// (64, 768) x (768, 768). Built with -DPOCKETBERT_CHECK=ON.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <limits>

#include "engine/memory.h"
#include "isa/cpu.h"

namespace {

using pb::Index;

// The best of several runs on one thread.
double rate(const pb::Kernels& kernels, Index rows, Index width) {
  pb::Arena arena;
  const std::vector<int8_t> weight(width * width, 3);
  auto* panels = arena.take<int8_t>(width * width);
  auto* offset_sum = arena.take<int32_t>(width);
  kernels.pack_int8(weight.data(), width, width, panels, offset_sum);
  const std::vector<float> x(rows * width, 0.5f), scale(width, 1e-3f);
  auto* act = arena.take<char>(rows * width * kernels.act_bytes);
  auto* act_scale = arena.take<float>(rows);
  kernels.quantize(x.data(), width, rows, width, act, act_scale);

  pb::Output y{};
  y.out_stride = width + 16;
  y.out = arena.take<float>(rows * y.out_stride);
  y.bias = scale.data();
  y.floor = -std::numeric_limits<float>::infinity();
  const pb::Int8Weight w{panels, offset_sum, scale.data(), width, width};
  double best = 0;
  using Clock = std::chrono::steady_clock;
  for (const auto end = Clock::now() + std::chrono::milliseconds(300); Clock::now() < end;) {
    const auto start = Clock::now();
    for (int i = 0; i < 8; i++) kernels.gemm_int8(act, act_scale, rows, w, y);
    const std::chrono::duration<double> seconds = Clock::now() - start;
    best = std::max(best, 16.0 * static_cast<double>(rows * width * width) / seconds.count());
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  const pb::Kernels& kernels = pb::choose_path("");
  std::vector<std::future<double>> threads;
  for (int i = 0; i < (argc > 1 ? std::atoi(argv[1]) : 1); i++)
    threads.push_back(std::async(std::launch::async, rate, std::cref(kernels), 64, 768));
  double total = 0;
  for (auto& thread : threads) total += thread.get();
  std::printf("%.6g\n", total);
}
