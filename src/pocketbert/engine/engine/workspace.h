// Memory of one call: buffers with a row for each token, keys and values, and scratch for each participant.
#pragma once

#include "engine/engine.h"

namespace pb {

// Rows that go through a segment together; more would not fit L2, fewer read the weights more often.
constexpr Index kMaxBlock = 192;

struct Scratch {
  std::vector<float*> buffers;  // kMaxBlock rows each; null for direct ones
  std::vector<float*> at;       // of the block that runs: its first row in each buffer
  std::vector<Index> strides;
  char* act;  // quantized rows
  char* attention;
  float *act_scale, *outlier_product, *masked, *outliers, *product;
};

// Where each text's keys and values are stored: its tokens begin at a multiple of kTextPlaces.
struct Layout {
  std::vector<Index> text;   // of each token
  std::vector<Index> place;  // of each token among keys and values
  std::vector<Index> begin;  // first token of each text, and the end
  Index places = 0;          // tokens and the gaps between texts
  Index longest = 0;
};

struct Workspace {
  // Make room for a call; memory only grows.
  void prepare(const Model& model, const Batch& batch, int threads);

  Layout layout;
  std::vector<float*> buffers;  // a row per token; null where not shared
  char *keys[2]{}, *values[2]{};
  std::vector<Scratch> scratch;

 private:
  Index tokens_ = 0, places_ = 0, longest_ = 0, threads_ = 0;  // that there is room for
  std::vector<Block> blocks_;
  std::vector<Block> scratch_blocks_;
};

}  // namespace pb
