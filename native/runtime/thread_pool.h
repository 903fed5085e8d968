// A persistent fork-join pool: workers spin for about 50 µs after each job, then sleep.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace heedful {

constexpr int kMaxThreads = 1024;

class ThreadPool {
 public:
  // The pool of the process, shared by all Node environments; the last reference joins the threads.
  static std::shared_ptr<ThreadPool> Shared();

  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Workers that a job may see, the caller included.
  int threads() const;
  // 1 ≤ threads ≤ kMaxThreads, else throws Error. Takes effect at once, or when the last Hold goes.
  void SetThreads(int threads);
  // What SetThreads was last given, in effect or not.
  int wantedThreads() const;

  // While one exists threads() stays as it is: a run sizes its workspace by it.
  class Hold {
   public:
    explicit Hold(ThreadPool& pool);
    ~Hold();
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    ThreadPool& pool_;
  };

  // Calls fn(index, worker) once for each index in [0, count); the caller is worker 0. Indices are handed out
  // one by one, ascending, from a shared counter. Nested, or when another thread is inside, the caller does
  // all the work alone as worker 0. The first exception of fn is thrown here, the rest of the indices is
  // skipped.
  template <class F>
  void Parallel(int64_t count, F&& fn) {
    using Fn = std::remove_reference_t<F>;
    Run(
        count, [](void* f, int64_t index, int worker) { (*static_cast<Fn*>(f))(index, worker); },
        const_cast<void*>(static_cast<const void*>(&fn)));
  }

 private:
  using Body = void (*)(void* context, int64_t index, int worker);
  void Run(int64_t count, Body body, void* context);

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace heedful
