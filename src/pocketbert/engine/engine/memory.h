// Aligned memory, and an arena for weights in their order of use.
#pragma once

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "isa/inline.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace pb {

constexpr Index kLine = 64;           // bytes of a cache line, and of the widest vectors
constexpr Index kHugePage = 2 << 20;  // 2 MiB pages: fewer TLB misses on the weights

struct Free {
  void operator()(void* p) const { std::free(p); }
};
using Block = std::unique_ptr<char, Free>;

// Zeroed memory. Throws std::bad_alloc.
inline Block allocate(Index bytes) {
  const Index step = bytes >= kHugePage ? kHugePage : kLine;
  if (bytes > PTRDIFF_MAX - step) throw std::bad_alloc();
  bytes = round_up(max(bytes, 1), step);
  Block block(static_cast<char*>(std::aligned_alloc(step, bytes)));
  if (!block) throw std::bad_alloc();
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (step == kHugePage) madvise(block.get(), bytes, MADV_HUGEPAGE);
#endif
  std::memset(block.get(), 0, bytes);
  return block;
}

// Hands out aligned pieces that live as long as the arena.
class Arena {
 public:
  template <class T>
  T* take(Index count) {
    if (count > PTRDIFF_MAX / kSize<T> - kLine) throw std::bad_alloc();
    const Index bytes = round_up(count * kSize<T>, kLine);
    if (bytes > left_) {
      left_ = max(bytes, kChunk);
      chunks_.push_back(allocate(left_));
      next_ = chunks_.back().get();
    }
    char* piece = next_;
    next_ += bytes;
    left_ -= bytes;
    return reinterpret_cast<T*>(piece);
  }

 private:
#if defined(PB_SEPARATE_PIECES)
  static constexpr Index kChunk = 0;
#else
  static constexpr Index kChunk = 4 << 20;
#endif
  std::vector<Block> chunks_;
  char* next_ = nullptr;
  Index left_ = 0;
};

}  // namespace pb
