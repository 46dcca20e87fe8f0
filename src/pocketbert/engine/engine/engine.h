// Runs a model on packed texts.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/model.h"

namespace pb {

// Texts laid end to end: text i has tokens ends[i] .. ends[i + 1].
struct Batch {
  const int64_t* ids;
  const int64_t* types;  // or null
  const int64_t* ends;   // texts + 1, the first 0
  int64_t tokens;
  int texts;
};

// What is wanted: the rows of a branch's result, or of the last hidden state for branch -1.
struct Wanted {
  int branch;
  const int64_t* rows;  // tokens, in any order; null for every token
  int64_t count;
};

struct Workspace;

class Engine {
 public:
  explicit Engine(std::unique_ptr<Model> model);
  ~Engine();

  // Write (count, result width) to `out`. Safe to call from many threads. Throws std::invalid_argument for a batch that
  // the model cannot take, before anything runs.
  void run(const Batch& batch, const Wanted& wanted, int threads, float* out) const;

  const Model& model() const { return *model_; }

 private:
  void check(const Batch& batch, const Wanted& wanted, int threads) const;

  std::unique_ptr<Model> model_;
  mutable std::atomic<Workspace*> kept_{nullptr};  // of the last call; concurrent calls make their own
};

constexpr int kMostThreads = 256;

}  // namespace pb
