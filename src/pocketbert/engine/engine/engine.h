// Runs a model on packed texts.
#pragma once

#include <atomic>

#include "engine/model.h"

namespace pb {

using Integers = std::span<const int64_t>;

// Texts laid end to end: text i has tokens ends[i] .. ends[i + 1].
struct Batch {
  Integers ids;
  std::optional<Integers> types;  // one per token
  Integers ends;                  // texts + 1, the first 0

  Index tokens() const { return std::ssize(ids); }
  Index texts() const { return std::ssize(ends) - 1; }
};

// Which rows of which result.
struct Wanted {
  std::optional<Index> branch;   // none: the last hidden state
  std::optional<Integers> rows;  // tokens, in any order; none: every token
};

struct Workspace;

class Engine {
 public:
  explicit Engine(std::unique_ptr<Model> model);
  ~Engine();

  // Writes (wanted rows, result width) to `out`. Safe to call from many threads. Throws std::invalid_argument for a
  // batch that the model cannot take, before anything runs.
  void run(const Batch& batch, const Wanted& wanted, int threads, float* out) const;

  const Model& model() const { return *model_; }

 private:
  void check(const Batch& batch, const Wanted& wanted, int threads) const;

  std::unique_ptr<Model> model_;
  mutable std::atomic<Workspace*> kept_{nullptr};  // of the last call; concurrent calls make their own
};

}  // namespace pb
