// Threads that help callers: one pool per process, shared by all models.
//
// A caller always works on its own job, and any idle worker joins; so a call never waits for a thread that does not
// exist, whatever the number of Python threads, and a busy machine only makes it slower. Workers sleep between jobs,
// after a short spin. A child of fork() starts with a fresh pool.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

namespace pb {

struct Job {
  std::function<void(int)> work;  // called once by each participant with its number; the caller's is 0
  int limit = 1;                  // participants
  std::atomic<int> joined{1};
};

// Calls job->work(0), while up to limit - 1 workers call work(1), work(2), ... Returns as soon as work(0) does: what a
// late worker touches must be kept alive by the job itself.
void run(const std::shared_ptr<Job>& job);

// Waits until `value` reaches `goal`: spins, then yields, then sleeps. Whoever changes the value to `goal` notifies.
void wait_for(const std::atomic<int>& value, int goal);

}  // namespace pb
