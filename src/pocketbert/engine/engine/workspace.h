// Memory of one call: buffers with a row for each token, keys and values, and scratch for each participant.
#pragma once

#include "engine/engine.h"

namespace pb {

constexpr int kMostBlock = 192;  // rows that go through a segment together; more would leave the second cache, fewer read the weights more often

struct Scratch {
  std::vector<float*> buffers;  // kMostBlock rows each; null for direct ones
  std::vector<float*> at;       // of the block that runs: where its first row is in each buffer
  std::vector<int> strides;
  char* act;                    // quantised rows
  char* attention;
  float *act_scale, *seed, *masked, *outliers, *product;
};

// Where each text's keys and values stand: its tokens begin at a multiple of the key block.
struct Layout {
  std::vector<int> text;   // of each token
  std::vector<int> place;  // of each token among keys and values
  std::vector<int> begin;  // first token of each text, and the end
  int padded = 0;          // tokens with the gaps
  int longest = 0;
};

struct Workspace {
  // Make room for a call; memory only grows.
  void prepare(const Model& model, const Batch& batch, int threads);

  Layout layout;
  std::vector<float*> buffers;  // a row a token; null where not shared
  char *keys[2]{}, *values[2]{};
  std::vector<Scratch> scratch;

 private:
  int tokens_ = 0, padded_ = 0, longest_ = 0, threads_ = 0;
  std::vector<Block> blocks_;
  std::vector<Block> scratch_blocks_;
};

}  // namespace pb
