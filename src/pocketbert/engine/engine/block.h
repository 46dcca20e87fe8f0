// One block of rows through one segment.
#pragma once

#include "engine/workspace.h"

namespace pb {

// The rows of a block: tokens begin .. end, or where some are chosen, chosen[begin] .. chosen[end].
struct Rows {
  Index begin, end;
  std::optional<Integers> chosen;

  Index count() const { return end - begin; }
  Index token(Index row) const { return chosen ? (*chosen)[begin + row] : begin + row; }
};

struct Task {
  const Model& model;
  const Batch& batch;
  const Wanted& wanted;
  Workspace& work;
  float* out;
};

// Run a segment for these rows. Only the last segment takes chosen rows; it also runs the branch and writes to `out`.
void run_block(const Task& task, Index segment, const Rows& rows, Scratch& scratch);

}  // namespace pb
