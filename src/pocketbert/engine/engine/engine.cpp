#include "engine/engine.h"

#include <stdexcept>
#include <string>

#include "engine/block.h"
#include "engine/pool.h"

namespace pb {
namespace {

[[noreturn]] void refuse(const std::string& what) { throw std::invalid_argument(what); }

// How a segment's rows are cut, and which block is whose.
//
// Blocks belong to the participants in equal runs, so that rows stay in one core's cache; who has none left takes from
// the others, so that a participant that is late or absent delays nobody.
struct Cut {
  int rows, block, blocks;

  Cut(int rows, int threads) : rows(rows) {
    const int wanted = round_up((rows + kMostBlock - 1) / kMostBlock, threads);
    block = least(kMostBlock, round_up((rows + wanted - 1) / wanted, 8));
    blocks = (rows + block - 1) / block;
  }
  int first_of(int participant, int threads) const {
    return static_cast<int>(static_cast<int64_t>(blocks) * participant / threads);
  }
};

// What participants share. It outlives the call, for a worker that joins when all is done.
struct Progress {
  Progress(int segments, int threads, Cut all, Cut last)
      : threads(threads), segments(segments), all(all), last(last),
        next(static_cast<size_t>(segments) * static_cast<size_t>(threads)), done(static_cast<size_t>(segments)) {}

  const Cut& cut(int segment) const { return segment + 1 < segments ? all : last; }

  const int threads, segments;
  const Cut all, last;
  std::vector<std::atomic<int>> next;  // [segment][participant]: blocks of its run that were taken
  std::vector<std::atomic<int>> done;  // [segment]: blocks that are finished
};

void participate(Progress& p, const Task& task, int self) {
  for (int segment = 0; segment < p.segments; segment++) {
    const Cut& cut = p.cut(segment);
    auto& done = p.done[static_cast<size_t>(segment)];
    for (int i = 0; i < p.threads && done.load(std::memory_order_acquire) < cut.blocks; i++) {
      const int owner = (self + i) % p.threads;
      const int first = cut.first_of(owner, p.threads), end = cut.first_of(owner + 1, p.threads);
      auto& next = p.next[static_cast<size_t>(segment * p.threads + owner)];
      while (next.load(std::memory_order_relaxed) < end - first) {
        const int block = first + next.fetch_add(1, std::memory_order_acq_rel);
        if (block >= end) break;
        const bool last = segment + 1 == p.segments;
        const Rows rows{block * cut.block, least(cut.rows, (block + 1) * cut.block),
                        last ? task.wanted.rows : nullptr};
        run_block(task, segment, rows, task.work.scratch[static_cast<size_t>(self)]);
        if (done.fetch_add(1, std::memory_order_acq_rel) + 1 == cut.blocks) done.notify_all();
      }
    }
    wait_for(done, cut.blocks);
  }
}

}  // namespace

Engine::Engine(std::unique_ptr<Model> model) : model_(std::move(model)) {
  if (!model_->finished) refuse("the model is not finished");
}

Engine::~Engine() { delete kept_.load(); }

void Engine::check(const Batch& batch, const Wanted& wanted, int threads) const {
  const Embeddings& e = model_->embeddings;
  if (threads < 1 || threads > kMostThreads)
    refuse("threads=" + std::to_string(threads) + " must be 1 .. " + std::to_string(kMostThreads));
  if (batch.texts < 1 || batch.tokens < 1) refuse("a batch needs at least one text");
  if (batch.tokens > (int64_t{1} << 26)) refuse(std::to_string(batch.tokens) + " tokens are too many for one batch");
  if (batch.ends[0] != 0 || batch.ends[batch.texts] != batch.tokens)
    refuse("cu_seqlens must begin with 0 and end with the number of tokens");
  for (int t = 0; t < batch.texts; t++) {
    if (batch.ends[t] < 0 || batch.ends[t] > batch.tokens || batch.ends[t + 1] > batch.tokens)
      refuse("cu_seqlens must stay within the number of tokens");
    const int64_t length = batch.ends[t + 1] - batch.ends[t];
    if (length < 1) refuse("text " + std::to_string(t) + " is empty; every text needs at least one token");
    if (length > e.most_tokens)
      refuse(std::to_string(length) + " tokens exceed the model's " + std::to_string(e.most_tokens) +
             " positions; cut or window the text");
  }
  for (int64_t i = 0; i < batch.tokens; i++)
    if (batch.ids[i] < 0 || batch.ids[i] >= e.vocabulary)
      refuse("input_ids holds " + std::to_string(batch.ids[i]) + "; the model knows 0 .. " +
             std::to_string(e.vocabulary - 1));
  if (batch.types && e.types)
    for (int64_t i = 0; i < batch.tokens; i++)
      if (batch.types[i] < 0 || batch.types[i] >= e.kinds)
        refuse("token_type_ids holds " + std::to_string(batch.types[i]) + "; the model knows 0 .. " +
               std::to_string(e.kinds - 1));
  model_->result_width(wanted.branch);  // there is such a branch
  if (wanted.rows)
    for (int64_t i = 0; i < wanted.count; i++)
      if (wanted.rows[i] < 0 || wanted.rows[i] >= batch.tokens)
        refuse("row " + std::to_string(wanted.rows[i]) + " is wanted of " + std::to_string(batch.tokens));
  if (wanted.count > (int64_t{1} << 26)) refuse("too many rows are wanted");
}

void Engine::run(const Batch& batch, const Wanted& wanted, int threads, float* out) const {
  check(batch, wanted, threads);
  if (wanted.rows && wanted.count == 0) return;
  std::unique_ptr<Workspace> work(kept_.exchange(nullptr));
  if (!work) work = std::make_unique<Workspace>();
  work->prepare(*model_, batch, threads);

  const int rows = static_cast<int>(batch.tokens);
  const int last = wanted.rows ? static_cast<int>(wanted.count) : rows;
  const auto progress = std::make_shared<Progress>(static_cast<int>(model_->segments.size()), threads,
                                                   Cut(rows, threads), Cut(last, threads));
  // The task is this call's own: a participant reads it only while it holds a block, and no call returns before that.
  const Task task{*model_, batch, wanted, *work, out};
  const auto job = std::make_shared<Job>();
  job->limit = least(threads, most(progress->all.blocks, progress->last.blocks));
  job->work = [progress, &task](int self) { participate(*progress, task, self); };
  pb::run(job);
  delete kept_.exchange(work.release());
}

}  // namespace pb
