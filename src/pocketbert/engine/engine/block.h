// One block of rows through one segment.
#pragma once

#include "engine/workspace.h"

namespace pb {

// The rows of a block: tokens begin .. end, or, where `chosen` is set, chosen[begin] .. chosen[end].
struct Rows {
  int begin, end;
  const int64_t* chosen;

  int count() const { return end - begin; }
  int token(int row) const { return chosen ? static_cast<int>(chosen[begin + row]) : begin + row; }
};

struct Task {
  const Model& model;
  const Batch& batch;
  const Wanted& wanted;
  Workspace& work;
  float* out;
};

// Run segment `number` for these rows. Only the last segment takes chosen rows; it also runs the branch and writes out.
void run_block(const Task& task, int number, const Rows& rows, Scratch& scratch);

}  // namespace pb
