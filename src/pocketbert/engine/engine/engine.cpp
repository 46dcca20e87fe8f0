#include "engine/engine.h"

#include <algorithm>
#include <stdexcept>

#include "engine/block.h"
#include "engine/pool.h"

namespace pb {
namespace {

constexpr int kMaxThreads = 256;
constexpr Index kMaxRows = 1 << 26;

[[noreturn]] void refuse(const std::string& what) { throw std::invalid_argument(what); }

// How a segment's rows are cut into blocks, and which blocks each participant starts with.
//
// Participants start with equal runs of blocks, so that rows stay in one core's cache. Then work stealing: a thread
// that runs out takes blocks of others, so a late thread delays nobody.
struct Cut {
  Index rows, block;
  int blocks;

  Cut(Index rows, int threads) : rows(rows) {
    const Index wanted = round_up((rows + kMaxBlock - 1) / kMaxBlock, threads);
    block = min(kMaxBlock, round_up((rows + wanted - 1) / wanted, 8));
    blocks = static_cast<int>((rows + block - 1) / block);
  }
  int first_of(int participant, int threads) const {
    return static_cast<int>(Index{blocks} * participant / threads);
  }
};

// What participants share. It outlives the call, because a worker may join when all is done.
struct Progress {
  Progress(Index segments, int threads, Cut all, Cut last)
      : threads(threads), segments(segments), all(all), last(last), taken(segments * threads), done(segments) {}

  const Cut& cut(Index segment) const { return segment + 1 < segments ? all : last; }

  const int threads;
  const Index segments;
  const Cut all, last;
  std::vector<std::atomic<int>> taken;  // [segment][participant]: blocks of its run that somebody took
  std::vector<std::atomic<int>> done;   // [segment]: blocks that are finished
};

void participate(Progress& p, const Task& task, int self) {
  for (Index segment = 0; segment < p.segments; segment++) {
    const Cut& cut = p.cut(segment);
    auto& done = p.done[segment];
    for (int i = 0; i < p.threads && done.load(std::memory_order_acquire) < cut.blocks; i++) {
      const int owner = (self + i) % p.threads;
      const int first = cut.first_of(owner, p.threads), end = cut.first_of(owner + 1, p.threads);
      auto& taken = p.taken[segment * p.threads + owner];
      while (taken.load(std::memory_order_relaxed) < end - first) {
        const int block = first + taken.fetch_add(1, std::memory_order_acq_rel);
        if (block >= end) break;
        Rows rows{block * cut.block, min(cut.rows, (block + 1) * cut.block), {}};
        if (segment + 1 == p.segments) rows.chosen = task.wanted.rows;
        run_block(task, segment, rows, task.work.scratch[self]);
        if (done.fetch_add(1, std::memory_order_acq_rel) + 1 == cut.blocks) done.notify_all();
      }
    }
    wait_for(done, cut.blocks);
  }
}

void check_range(Integers values, Index limit, const char* name) {
  for (int64_t value : values)
    if (value < 0 || value >= limit)
      refuse(std::string(name) + " holds " + std::to_string(value) + "; the model knows 0 .. " +
             std::to_string(limit - 1));
}

}  // namespace

Engine::Engine(std::unique_ptr<Model> model) : model_(std::move(model)) {
  if (!model_->finished) refuse("the model is not finished");
}

Engine::~Engine() { delete kept_.load(); }

void Engine::check(const Batch& batch, const Wanted& wanted, int threads) const {
  const Embeddings& e = *model_->embeddings;
  const Index tokens = batch.tokens();
  if (threads < 1 || threads > kMaxThreads)
    refuse("threads=" + std::to_string(threads) + " must be 1 .. " + std::to_string(kMaxThreads));
  if (batch.texts() < 1 || tokens < 1) refuse("a batch needs at least one text");
  if (tokens > kMaxRows) refuse(std::to_string(tokens) + " tokens are too many for one batch");
  if (batch.ends.front() != 0 || batch.ends.back() != tokens)
    refuse("cu_seqlens must begin with 0 and end with the number of tokens");
  for (Index t = 0; t < batch.texts(); t++) {
    const Index end = batch.ends[t + 1];  // the one before was checked in the step before
    if (end < 0 || end > tokens) refuse("cu_seqlens must stay within the number of tokens");
    const Index length = end - batch.ends[t];
    if (length < 1) refuse("text " + std::to_string(t) + " is empty; every text needs at least one token");
    if (length > e.positions.rows)
      refuse(std::to_string(length) + " tokens exceed the model's " + std::to_string(e.positions.rows) +
             " positions; cut or window the text");
  }
  check_range(batch.ids, rows(e.words), "input_ids");
  if (batch.types && e.types) check_range(*batch.types, e.types->rows, "token_type_ids");
  model_->result_width(wanted.branch);  // refuses a branch that does not exist
  if (!wanted.rows) return;
  for (int64_t row : *wanted.rows)
    if (row < 0 || row >= tokens)
      refuse("row " + std::to_string(row) + " is wanted of " + std::to_string(tokens));
  if (std::ssize(*wanted.rows) > kMaxRows) refuse("too many rows are wanted");
}

void Engine::run(const Batch& batch, const Wanted& wanted, int threads, float* out) const {
  check(batch, wanted, threads);
  if (wanted.rows && wanted.rows->empty()) return;
  std::unique_ptr<Workspace> work(kept_.exchange(nullptr));
  if (!work) work = std::make_unique<Workspace>();
  work->prepare(*model_, batch, threads);

  const Index rows = batch.tokens(), last = wanted.rows ? std::ssize(*wanted.rows) : rows;
  const auto progress =
      std::make_shared<Progress>(std::ssize(model_->segments), threads, Cut(rows, threads), Cut(last, threads));
  // The task is on this call's stack: a participant reads it only while it holds a block, and the call returns only
  // when all blocks are finished.
  const Task task{*model_, batch, wanted, *work, out};
  const auto job = std::make_shared<Job>();
  job->limit = std::min(threads, std::max(progress->all.blocks, progress->last.blocks));
  job->work = [progress, &task](int self) { participate(*progress, task, self); };
  pb::run(job);
  delete kept_.exchange(work.release());
}

}  // namespace pb
