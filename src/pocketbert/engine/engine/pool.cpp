#include "engine/pool.h"

#include <pthread.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace pb {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kSpin = std::chrono::microseconds(60);  // longer than it takes to wake a thread
constexpr int kYields = 20;

void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spin until `ready` or the time is over.
template <class Ready>
bool spin(Ready ready) {
  const auto end = Clock::now() + kSpin;
  do {
    for (int i = 0; i < 32; i++) {
      if (ready()) return true;
      pause();
    }
  } while (Clock::now() < end);
  return ready();
}

class Pool {
 public:
  void run(const std::shared_ptr<Job>& job) {
    if (job->limit > 1) {
      {
        const std::lock_guard lock(mutex_);
        while (workers_ < job->limit - 1 && start()) {
        }
        jobs_.push_back(job);
        open_.fetch_add(1, std::memory_order_release);
      }
      wake_.notify_all();
    }
    job->work(0);
    if (job->limit > 1) {
      const std::lock_guard lock(mutex_);
      remove(job);
    }
  }

  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }

 private:
  bool start() {
    try {
      std::thread([this] { serve(); }).detach();  // workers live as long as the process
    } catch (const std::system_error&) {
      return false;  // the caller works alone
    }
    workers_++;
    return true;
  }

  void serve() {
    for (;;) {
      spin([this] { return open_.load(std::memory_order_acquire) > 0; });
      std::shared_ptr<Job> job;
      int number = 0;
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return take(job, number); });
      }
      job->work(number);
    }
  }

  // With the lock held: joins the oldest job that takes participants.
  bool take(std::shared_ptr<Job>& job, int& number) {
    if (jobs_.empty()) return false;
    job = jobs_.front();
    number = job->joined.fetch_add(1, std::memory_order_relaxed);
    if (number + 1 >= job->limit) remove(job);
    return true;
  }

  // With the lock held.
  void remove(const std::shared_ptr<Job>& job) {
    if (std::erase(jobs_, job) > 0) open_.fetch_sub(1, std::memory_order_release);
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::shared_ptr<Job>> jobs_;  // that still take participants
  std::atomic<int> open_{0};                // their number
  int workers_ = 0;
};

// Never destroyed: at exit, workers may still sleep in it. After a fork the child leaks its copy, whose threads do not
// exist there, and starts with a new one.
std::atomic<Pool*> pool{nullptr};

void before_fork() {
  if (Pool* p = pool.load()) p->lock();
}
void after_fork_in_parent() {
  if (Pool* p = pool.load()) p->unlock();
}
void after_fork_in_child() {
  if (pool.load()) pool.store(new Pool);
}

Pool& the_pool() {
  static std::once_flag once;
  std::call_once(once, [] {
    pool.store(new Pool);
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
  });
  return *pool.load();
}

}  // namespace

void run(const std::shared_ptr<Job>& job) { the_pool().run(job); }

void wait_for(const std::atomic<int>& value, int goal) {
  const auto reached = [&] { return value.load(std::memory_order_acquire) >= goal; };
  if (spin(reached)) return;
  for (int i = 0; i < kYields; i++) {
    std::this_thread::yield();
    if (reached()) return;
  }
  for (int seen = value.load(std::memory_order_acquire); seen < goal; seen = value.load(std::memory_order_acquire))
    value.wait(seen, std::memory_order_acquire);
}

}  // namespace pb
