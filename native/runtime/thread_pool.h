// A persistent fork-join pool: workers spin for about 50 µs after each job, then sleep.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace heedful {

class ThreadPool {
 public:
  // The pool of the process, shared by all Node environments; the last reference joins the threads.
  static std::shared_ptr<ThreadPool> Shared();

  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;
  // Takes effect between jobs. 1 ≤ threads ≤ 1024.
  void SetThreads(int threads);

  // Calls fn(index, worker) once for each index in [0, count); the caller is worker 0. Indices are handed out one
  // by one from a shared counter. When another thread is inside, the caller does all the work alone.
  template <class F>
  void Parallel(int64_t count, F&& fn) {
    using Fn = std::remove_reference_t<F>;
    Run(count, [](void* f, int64_t index, int worker) { (*static_cast<Fn*>(f))(index, worker); },
        const_cast<void*>(static_cast<const void*>(&fn)));
  }

 private:
  using Body = void (*)(void* context, int64_t index, int worker);
  void Run(int64_t count, Body body, void* context);

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace heedful
