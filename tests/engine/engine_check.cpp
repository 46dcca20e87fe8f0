// The engine without Python, for the sanitizers: random models on every path, many threads, fork, and fuzz.
//
// Built with -DPOCKETBERT_CHECK=ON; prints what went wrong and returns 1.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <optional>
#include <random>
#include <stdexcept>
#include <thread>

#include "isa/cpu.h"
#include "engine/engine.h"

namespace {

using Floats = std::vector<float>;
using pb::Index;
std::mt19937 generator(7);
int failures = 0;

void expect(bool true_, const char* what) {
  if (true_) return;
  std::printf("FAILED: %s\n", what);
  failures++;
}

int draw(int low, int high) { return std::uniform_int_distribution<int>(low, high)(generator); }

Floats floats(Index count, float spread) {
  Floats values(count);
  std::normal_distribution<float> normal(0, spread);
  for (float& value : values) value = normal(generator);
  return values;
}

// What a model is made of; kept, so that it can be built for each path from the same values.
struct Product {
  pb::Span source, target;
  std::optional<pb::Span> residual;
  std::string activation;
  bool int8, norm, carry;
  Floats weight, bias, scale, outlier_weight, norm_scale, norm_bias, factors;
  std::vector<int8_t> bytes;
  std::vector<int64_t> outliers;
};

Product product(pb::Span source, pb::Span target, bool int8, bool residual, const char* activation, bool norm) {
  Product p{source, target, {}, activation, int8, norm, false, {}, {}, {}, {}, {}, {}, {}, {}, {}};
  const Index in = source.width, out = target.width;
  if (residual) p.residual = target;
  p.carry = residual && draw(0, 3) == 0;
  p.factors = floats(out, 1);
  p.weight = floats(in * out, 0.7f / std::sqrt(static_cast<float>(in)));
  p.bias = floats(out, 0.3f);
  p.norm_scale = floats(out, 1);
  p.norm_bias = floats(out, 1);
  p.scale = Floats(out, 0.01f / std::sqrt(static_cast<float>(in)));
  for (Index i = 0; i < in * out; i++) p.bytes.push_back(static_cast<int8_t>(draw(-127, 127)));
  for (Index i = 0; i < in; i += 7)
    if (int8 && draw(0, 3) == 0) p.outliers.push_back(i);
  for (int64_t column : p.outliers)
    for (Index o = 0; o < out; o++) p.bytes[o * in + column] = 0;
  p.outlier_weight = floats(out * std::ssize(p.outliers), 0.1f);
  return p;
}

pb::DenseView view(const Product& p) {
  pb::DenseView v;
  v.source = p.source;
  v.target = p.target;
  v.residual = p.residual;
  v.carry = p.carry ? p.factors.data() : nullptr;
  v.activation = p.activation;
  const pb::Index in = p.source.width, out = p.target.width;
  if (p.int8)
    v.weight = pb::Int8View{{p.bytes.data(), out, in}, p.scale.data(), p.outliers, p.outlier_weight.data()};
  else
    v.weight = pb::Matrix<float>{p.weight.data(), out, in};
  v.bias = p.bias.data();
  if (p.norm) v.norm = {p.norm_scale.data(), p.norm_bias.data(), 1e-12f};
  return v;
}

struct Plan {
  static constexpr int kWords = 37, kTokens = 150, kLabels = 5;
  int width, heads, size, middle, word_width, layers;
  bool int8, trigram;
  Floats words, word_scale, positions, types, state_scale, state_shift;
  std::vector<int8_t> word_bytes;  // instead of `words` in some int8 models
  std::optional<Product> projection;
  std::vector<std::vector<Product>> ops;  // of each layer: qkv, then the others
  std::vector<Product> branch;

  explicit Plan(bool int8) : int8(int8) {
    static const char* const kActivations[] = {"relu", "relu6", "gelu", "gelu_new", "silu", "tanh"};
    heads = draw(1, 4);
    size = draw(1, 40);
    width = draw(1, 90);
    middle = draw(1, 140);
    layers = draw(1, 3);
    trigram = draw(0, 1);
    word_width = trigram ? draw(1, 30) : width;
    words = floats(kWords * word_width, 1);
    word_scale = Floats(kWords, 0.01f);
    if (int8 && draw(0, 1))
      for (int i = 0; i < kWords * word_width; i++) word_bytes.push_back(static_cast<int8_t>(draw(-127, 127)));
    positions = floats(kTokens * width, 1);
    types = floats(2 * width, 1);
    state_scale = floats(width, 1);
    state_shift = floats(width, 1);
    const int all = heads * size;
    if (trigram) projection = product({5, 0, 3 * word_width}, {0, 0, width}, int8, true, "linear", draw(0, 1));
    for (int i = 0; i < layers; i++)
      ops.push_back({product({0, 0, width}, {1, 0, 3 * all}, int8, false, "linear", false),
                     product({2, 0, all}, {0, 0, width}, int8, true, "linear", draw(0, 1)),
                     product({0, 0, width}, {3, 0, middle}, int8, false, kActivations[draw(0, 5)], false),
                     product({3, 0, middle}, {0, 0, width}, int8, true, draw(0, 3) ? "linear" : "tanh", draw(0, 1))});
    branch = {product({0, 0, width}, {4, 0, kLabels}, false, false, "linear", false),
              product({3, 0, 1}, {4, 0, kLabels}, false, true, "linear", false)};
    branch[1].source = {0, 0, 1};
  }

  std::unique_ptr<pb::Engine> build(const pb::Kernels& kernels) const {
    auto m = std::make_unique<pb::Model>(kernels);
    const int all = heads * size;
    for (int columns : {width, 3 * all, all, middle, int{kLabels}}) m->add_buffer(columns);
    if (trigram) m->add_buffer(3 * word_width);
    pb::WeightView table = pb::Matrix<float>{words.data(), kWords, word_width};
    if (!word_bytes.empty()) table = pb::Int8View{{word_bytes.data(), kWords, word_width}, word_scale.data(), {}, {}};
    pb::Embeddings e{table, {positions.data(), kTokens, width}, {{types.data(), 2, width}}, trigram, {}, {}, {}};
    if (trigram) e.gathered = 5;
    m->set_embeddings(e);
    if (projection) m->add_dense(view(*projection));
    for (const auto& layer : ops) {
      m->add_dense(view(layer[0]));
      m->add_attention({{1, 0, all}, {1, all, all}, {1, 2 * all, all}, {2, 0, all}, heads});
      for (Index i = 1; i < std::ssize(layer); i++) m->add_dense(view(layer[i]));
    }
    m->set_state({state_scale.data(), state_shift.data()});
    m->add_branch();
    for (const Product& p : branch) m->add_dense(view(p));
    m->finish();
    return std::make_unique<pb::Engine>(std::move(m));
  }
};

struct Texts {
  std::vector<int64_t> ids, types, ends{0};

  void add(int length) {
    for (int i = 0; i < length; i++) {
      ids.push_back(draw(0, Plan::kWords - 1));
      types.push_back(draw(0, 1));
    }
    ends.push_back(std::ssize(ids));
  }
  pb::Batch batch() const { return {ids, types, ends}; }
};

Floats run(const pb::Engine& engine, const pb::Batch& batch, int threads, std::optional<Index> branch = {},
           std::optional<pb::Integers> rows = {}) {
  Floats out((rows ? std::ssize(*rows) : batch.tokens()) * engine.model().result_width(branch));
  engine.run(batch, {branch, rows}, threads, out.data());
  return out;
}

bool same(const Floats& a, const Floats& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

void check_results(bool int8) {
  const Plan plan(int8);
  Texts texts;
  for (int i = draw(1, 6); i > 0; i--) texts.add(draw(0, 3) ? draw(1, 40) : draw(1, Plan::kTokens));
  const pb::Batch batch = texts.batch();
  std::vector<int64_t> rows;
  for (int i = 0; i < 9; i++) rows.push_back(draw(0, static_cast<int>(std::ssize(texts.ids)) - 1));
  Floats first;
  for (const pb::Kernels* kernels : pb::available_paths()) {
    const auto engine = plan.build(*kernels);
    const Floats hidden = run(*engine, batch, 1);
    expect(same(hidden, run(*engine, batch, 3)), "any number of threads");
    for (Index t = 0; t < batch.texts(); t++) {
      const Index begin = batch.ends[t], length = batch.ends[t + 1] - begin;
      const int64_t ends[] = {0, length};
      const Floats alone =
          run(*engine, {batch.ids.subspan(begin, length), batch.types->subspan(begin, length), ends}, 2);
      expect(std::memcmp(alone.data(), hidden.data() + begin * plan.width, alone.size() * sizeof(float)) == 0,
             "a text alone");
    }
    const Floats all = run(*engine, batch, 2, 0), some = run(*engine, batch, 3, 0, rows);
    for (Index i = 0; i < std::ssize(rows); i++)
      expect(std::memcmp(&some[i * Plan::kLabels], &all[rows[i] * Plan::kLabels], Plan::kLabels * sizeof(float)) == 0,
             "chosen rows");
    if (int8 && std::strcmp(kernels->name, "amx") != 0) {  // whose attention is in bfloat16
      if (first.empty()) first = hidden;
      expect(same(first, hidden), "int8 on every path");
    }
  }
}

void check_many_callers() {
  for (const pb::Kernels* kernels : pb::available_paths()) {
    const Plan plan(true);
    const auto engine = plan.build(*kernels);
    Texts texts;
    for (int i = 0; i < 8; i++) texts.add(30);
    const Floats expected = run(*engine, texts.batch(), 1);
    std::atomic<int> wrong{0};
    std::vector<std::thread> callers;
    for (int i = 0; i < 6; i++)
      callers.emplace_back([&, i] {
        for (int turn = 0; turn < 10; turn++) wrong += !same(expected, run(*engine, texts.batch(), 1 + (i + turn) % 4));
      });
    for (auto& caller : callers) caller.join();
    expect(wrong == 0, "many callers");
  }
}

void check_fork() {
  const Plan plan(false);
  const auto engine = plan.build(pb::choose_path(""));
  Texts texts;
  for (int i = 0; i < 8; i++) texts.add(30);
  const Floats expected = run(*engine, texts.batch(), 3);
  const pid_t child = fork();
  if (child == 0) _exit(same(expected, run(*engine, texts.batch(), 3)) ? 0 : 1);
  int status = -1;
  waitpid(child, &status, 0);
  expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a forked child");
  expect(same(expected, run(*engine, texts.batch(), 3)), "the parent after a fork");
}

// Random numbers where the engine expects sense: it must refuse or answer, and touch nothing that is not its own.
void fuzz_batches() {
  const Plan plan(true);
  const auto engine = plan.build(pb::choose_path(""));
  int refused = 0;
  for (int round = 0; round < 2000; round++) {
    const int tokens = draw(1, 60), texts = draw(1, 6);
    std::vector<int64_t> ids, types, ends;
    for (int i = 0; i < tokens; i++) {
      ids.push_back(draw(draw(0, 50) ? 0 : -1, Plan::kWords - (draw(0, 50) ? 1 : 0)));
      types.push_back(draw(0, draw(0, 40) ? 1 : 2));
    }
    for (int i = 0; i <= texts; i++) ends.push_back(draw(0, tokens));
    if (draw(0, 3)) std::sort(ends.begin(), ends.end());
    if (draw(0, 3)) ends.front() = 0, ends.back() = tokens;
    std::vector<int64_t> rows;
    for (int i = draw(1, 5); i > 0; i--) rows.push_back(draw(draw(0, 30) ? 0 : -5, tokens - (draw(0, 30) ? 1 : 0)));
    std::optional<Index> branch;
    if (draw(0, 3)) branch = draw(-1, 1);
    std::optional<pb::Integers> wanted;
    if (draw(0, 1)) wanted = rows;
    try {
      run(*engine, {ids, types, ends}, draw(0, 4), branch, wanted);
    } catch (const std::invalid_argument&) {
      refused++;
    }
  }
  expect(refused > 0 && refused < 2000, "fuzzed batches are partly refused");
}

void fuzz_models() {
  int refused = 0;
  for (int round = 0; round < 500; round++) {
    Plan plan(draw(0, 1));
    auto& layer = plan.ops[0];
    Product& p = layer[draw(0, 3)];
    switch (draw(0, 5)) {
      case 0: p.target.start += draw(-3, 3); break;
      case 1: p.source.buffer = draw(-1, 6); break;
      case 2: p.target.buffer = draw(-1, 6); break;
      case 3: p.residual = pb::Span{draw(-1, 6), draw(-1, 2), p.target.width}; break;
      case 4: p.bias[0] = std::numeric_limits<float>::quiet_NaN(); break;
      default: plan.heads = draw(0, 5) ? plan.heads : -1; break;
    }
    try {
      const auto engine = plan.build(pb::choose_path(""));
      Texts texts;
      texts.add(20);
      run(*engine, texts.batch(), 2);
    } catch (const std::invalid_argument&) {
      refused++;
    }
  }
  expect(refused > 0 && refused < 500, "fuzzed models are partly refused");
}

}  // namespace

int main() {
  for (int round = 0; round < 30; round++) check_results(round % 2);
  check_many_callers();
  check_fork();
  fuzz_batches();
  fuzz_models();
  std::printf(failures ? "%d failures\n" : "engine_check: ok\n", failures);
  return failures != 0;
}
