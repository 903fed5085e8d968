#include "runtime/thread_pool.h"

#include <atomic>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/check.h"
#include "runtime/spin.h"

#if defined(__linux__)
#include <sched.h>
#endif

namespace heedful {
namespace {

// About 50 µs: a fork-join takes 0.5 µs while the workers spin and 30 µs once they sleep.
constexpr int kSpins = 2000;

// Returns when value != old.
void Await(const std::atomic<uint32_t>& value, uint32_t old) {
  if (SpinUntil(kSpins, [&] { return value.load(std::memory_order_acquire) != old; })) return;
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

int AvailableCpus() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  const unsigned n = std::thread::hardware_concurrency();
  return n ? static_cast<int>(n) : 1;
}

int DefaultThreads() {
  const char* text = std::getenv("HEEDFUL_THREADS");
  if (!text || !*text) {
    const int cpus = AvailableCpus();
    return cpus < kMaxThreads ? cpus : kMaxThreads;
  }
  int n = 0;
  const char* c = text;
  for (; *c >= '0' && *c <= '9' && n <= kMaxThreads; ++c) n = n * 10 + (*c - '0');
  HEEDFUL_CHECK(!*c && n >= 1 && n <= kMaxThreads, "HEEDFUL_THREADS: expected an integer from 1 to " +
                                                       std::to_string(kMaxThreads) + ", got '" + text + "'");
  return n;
}

}  // namespace

struct ThreadPool::State {
  // A job. Its description is only read by who holds an index that is not finished: a worker that comes late
  // finds next <= 0, or takes an index of the job after.
  uint32_t job = 0;
  Body body = nullptr;
  void* context = nullptr;
  int64_t count = 0;
  std::exception_ptr error;
  std::mutex error_mutex;
  std::atomic<bool> failed{false};

  alignas(64) std::atomic<int64_t> next{0};        // indices that nobody took; index = count - next
  alignas(64) std::atomic<int64_t> unfinished{0};  // indices that are not done
  alignas(64) std::atomic<uint32_t> started{0};    // counts jobs; workers wait for it
  alignas(64) std::atomic<uint32_t> finished{0};   // the last job that is done; the caller waits for it
  alignas(64) std::atomic<bool> busy{false};       // somebody is inside, or resizes
  std::atomic<bool> stop{false};

  std::vector<std::thread> workers;
  std::atomic<int> threads{1};
  std::mutex resize_mutex;  // guards wanted, holds and the vector of workers
  std::atomic<int> wanted{1};
  int holds = 0;

  // Takes indices until there are none; returns after its share counts as done.
  void Work(int worker) {
    int64_t done = 0;
    for (int64_t left; (left = next.fetch_sub(1, std::memory_order_acq_rel)) > 0; ++done) {
      if (failed.load(std::memory_order_relaxed)) continue;
      try {
        body(context, count - left, worker);
      } catch (...) {
        std::lock_guard lock(error_mutex);
        if (!error) error = std::current_exception();
        failed.store(true, std::memory_order_relaxed);
      }
    }
    if (done && unfinished.fetch_sub(done, std::memory_order_acq_rel) == done) {
      finished.store(job, std::memory_order_release);
      finished.notify_one();
    }
  }

  void Loop(int worker, uint32_t seen) {
    for (;;) {
      Await(started, seen);
      seen = started.load(std::memory_order_acquire);
      if (stop.load(std::memory_order_acquire)) return;
      Work(worker);
    }
  }

  void StopWorkers() {
    stop.store(true, std::memory_order_release);
    started.fetch_add(1, std::memory_order_release);
    started.notify_all();
    for (std::thread& t : workers) t.join();
    workers.clear();
    stop.store(false, std::memory_order_release);
  }

  // Brings the number of workers to `wanted`; fewer when the system gives no more. Holds resize_mutex.
  void Resize() {
    const int target = wanted.load();
    if (holds || target == threads.load()) return;
    while (busy.exchange(true, std::memory_order_acquire)) std::this_thread::yield();
    StopWorkers();
    const uint32_t seen = started.load(std::memory_order_relaxed);
    try {
      for (int i = 1; i < target; ++i) workers.emplace_back([this, i, seen] { Loop(i, seen); });
    } catch (const std::exception&) {
      // Goes on with those that started; SetThreads tells.
    }
    threads.store(static_cast<int>(workers.size()) + 1);
    wanted.store(threads.load());
    busy.store(false, std::memory_order_release);
  }
};

std::shared_ptr<ThreadPool> ThreadPool::Shared() {
  // Never destroyed: threads may outlive the destructors of static objects.
  static auto& mutex = *new std::mutex;
  static auto& shared = *new std::weak_ptr<ThreadPool>;
  std::lock_guard lock(mutex);
  std::shared_ptr<ThreadPool> pool = shared.lock();
  if (!pool) shared = pool = std::make_shared<ThreadPool>(DefaultThreads());
  return pool;
}

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) { SetThreads(threads); }

ThreadPool::~ThreadPool() { state_->StopWorkers(); }

int ThreadPool::threads() const { return state_->threads.load(std::memory_order_relaxed); }

int ThreadPool::wantedThreads() const { return state_->wanted.load(std::memory_order_relaxed); }

void ThreadPool::SetThreads(int threads) {
  HEEDFUL_CHECK(threads >= 1 && threads <= kMaxThreads,
                "threads: expected 1 to " + std::to_string(kMaxThreads) + ", got " + std::to_string(threads));
  std::lock_guard lock(state_->resize_mutex);
  state_->wanted.store(threads);
  state_->Resize();
  HEEDFUL_CHECK(wantedThreads() == threads, "threads: the system started only " +
                                                std::to_string(wantedThreads()) + " of " +
                                                std::to_string(threads));
}

ThreadPool::Hold::Hold(ThreadPool& pool) : pool_(pool) {
  std::lock_guard lock(pool.state_->resize_mutex);
  ++pool.state_->holds;
}

ThreadPool::Hold::~Hold() {
  std::lock_guard lock(pool_.state_->resize_mutex);
  if (--pool_.state_->holds == 0) pool_.state_->Resize();
}

void ThreadPool::Run(int64_t count, Body body, void* context) {
  State& s = *state_;
  if (count <= 1 || s.threads.load(std::memory_order_relaxed) == 1 ||
      s.busy.exchange(true, std::memory_order_acquire)) {
    for (int64_t i = 0; i < count; ++i) body(context, i, 0);
    return;
  }
  s.body = body;
  s.context = context;
  s.count = count;
  s.unfinished.store(count, std::memory_order_relaxed);
  const uint32_t before = s.finished.load(std::memory_order_relaxed);
  s.job = s.started.load(std::memory_order_relaxed) + 1;
  s.next.store(count, std::memory_order_release);
  s.started.store(s.job, std::memory_order_release);
  s.started.notify_all();
  s.Work(0);
  Await(s.finished, before);
  std::exception_ptr error;
  if (s.failed.load(std::memory_order_relaxed)) {
    error = std::exchange(s.error, nullptr);
    s.failed.store(false, std::memory_order_relaxed);
  }
  s.busy.store(false, std::memory_order_release);
  if (error) std::rethrow_exception(error);
}

}  // namespace heedful
