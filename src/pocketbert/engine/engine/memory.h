// Aligned memory, and an arena for weights in their order of use.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace pb {

constexpr size_t kLine = 64;            // of the cache, and of the widest vectors
constexpr size_t kHugePage = 2u << 20;  // where the system has them, weights cost few address translations

struct Free {
  void operator()(void* p) const { std::free(p); }
};
using Block = std::unique_ptr<char, Free>;

inline size_t align_up(size_t bytes, size_t step) { return (bytes + step - 1) / step * step; }

// Zeroed memory. Throws std::bad_alloc.
inline Block allocate(size_t bytes) {
  const size_t step = bytes >= kHugePage ? kHugePage : kLine;
  if (bytes > SIZE_MAX - step) throw std::bad_alloc();
  bytes = align_up(bytes ? bytes : 1, step);
  Block block(static_cast<char*>(std::aligned_alloc(step, bytes)));
  if (!block) throw std::bad_alloc();
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (step == kHugePage) madvise(block.get(), bytes, MADV_HUGEPAGE);
#endif
  std::memset(block.get(), 0, bytes);
  return block;
}

// Hands out pieces that stay until the arena goes.
class Arena {
 public:
  template <class T>
  T* take(size_t count) {
    if (count > SIZE_MAX / sizeof(T) - kLine) throw std::bad_alloc();
    const size_t bytes = align_up(count * sizeof(T), kLine);
    if (bytes > left_) {
      const size_t size = bytes > kChunk ? bytes : kChunk;
      chunks_.push_back(allocate(size));
      next_ = chunks_.back().get();
      left_ = size;
    }
    char* piece = next_;
    next_ += bytes;
    left_ -= bytes;
    return reinterpret_cast<T*>(piece);
  }

 private:
#if defined(PB_APART)
  static constexpr size_t kChunk = 0;
#else
  static constexpr size_t kChunk = 4u << 20;
#endif
  std::vector<Block> chunks_;
  char* next_ = nullptr;
  size_t left_ = 0;
};

}  // namespace pb
