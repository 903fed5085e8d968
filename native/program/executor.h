// Runs programs off the main thread, one after another in the order they were queued.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "program/program.h"

namespace heedful {

struct RunResult {
  enum { kDone, kAborted, kFailed } outcome;
  std::string message;  // kFailed
};

class Executor {
 public:
  using Done = std::function<void(uint64_t ticket, RunResult)>;

  // One for the process, so that runs of several Node environments don't fight for the cores. The last
  // reference aborts what is queued, and joins the thread. Never to be held by a run.
  static std::shared_ptr<Executor> Shared();

  explicit Executor(std::shared_ptr<ThreadPool> pool) : pool_(std::move(pool)) {}
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // `done` is called once, on the executor's thread or (by an abort before the start) on that of the one who
  // aborts. The ticket is unique in the process.
  uint64_t Queue(std::shared_ptr<Program> program, Bindings bindings, int64_t rows, Done done);
  // Nothing happens when the run is over.
  void Abort(uint64_t ticket);

 private:
  struct Task {
    uint64_t ticket;
    std::shared_ptr<Program> program;
    Bindings bindings;
    int64_t rows;
    Done done;
  };

  void Loop();
  RunResult Run(Task& task);

  std::shared_ptr<ThreadPool> pool_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  std::deque<Task> queue_;
  uint64_t running_ = 0;  // ticket; 0: none
  bool stop_ = false;
  std::atomic<bool> called_{false};  // something was queued, or it should stop: read while it spins
  std::atomic<bool> abort_{false};   // of the run that is running
  std::thread thread_;               // started by the first run
};

}  // namespace heedful
