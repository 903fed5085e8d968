#include "program/executor.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "runtime/spin.h"

namespace heedful {
namespace {

// About 100 µs: JavaScript asks for the next token within that, and to be woken takes half of it.
constexpr int kSpins = 4000;

}  // namespace

std::shared_ptr<Executor> Executor::Shared() {
  // Never destroyed: threads may outlive the destructors of static objects.
  static auto& mutex = *new std::mutex;
  static auto& shared = *new std::weak_ptr<Executor>;
  std::lock_guard lock(mutex);
  std::shared_ptr<Executor> executor = shared.lock();
  if (!executor) shared = executor = std::make_shared<Executor>(ThreadPool::Shared());
  return executor;
}

Executor::~Executor() {
  std::deque<Task> dropped;
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    called_.store(true, std::memory_order_release);
    abort_.store(true);
    dropped.swap(queue_);
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
  for (Task& task : dropped) task.done(task.ticket, {RunResult::kAborted, {}});
}

uint64_t Executor::Queue(std::shared_ptr<Program> program, Bindings bindings, int64_t rows, Done done) {
  static std::atomic<uint64_t> tickets{0};
  const uint64_t ticket = ++tickets;
  {
    std::lock_guard lock(mutex_);
    if (!thread_.joinable()) thread_ = std::thread([this] { Loop(); });
    called_.store(true, std::memory_order_release);
    queue_.push_back({ticket, std::move(program), std::move(bindings), rows, std::move(done)});
  }
  wake_.notify_one();
  return ticket;
}

void Executor::Abort(uint64_t ticket) {
  std::deque<Task> removed;
  {
    std::lock_guard lock(mutex_);
    if (running_ == ticket) return abort_.store(true);
    const auto task =
        std::find_if(queue_.begin(), queue_.end(), [&](const Task& t) { return t.ticket == ticket; });
    if (task == queue_.end()) return;
    removed.push_back(std::move(*task));
    queue_.erase(task);
  }
  removed.front().done(ticket, {RunResult::kAborted, {}});
}

void Executor::Loop() {
  std::unique_lock lock(mutex_);
  for (bool ran = false;; ran = true) {
    if (ran && queue_.empty()) {
      called_.store(false, std::memory_order_relaxed);
      lock.unlock();
      SpinUntil(kSpins, [&] { return called_.load(std::memory_order_acquire); });
      lock.lock();
    }
    wake_.wait(lock, [&] { return stop_ || !queue_.empty(); });
    if (stop_) return;
    Task task = std::move(queue_.front());
    queue_.pop_front();
    running_ = task.ticket;
    abort_.store(false);
    lock.unlock();
    RunResult result = Run(task);
    // Before `done`, so that memory is free when JavaScript hears of the end.
    task.bindings.clear();
    task.program.reset();
    lock.lock();
    running_ = 0;
    lock.unlock();
    task.done(task.ticket, std::move(result));
    task.done = nullptr;
    lock.lock();
  }
}

RunResult Executor::Run(Task& task) {
  try {
    const bool done = task.program->Run(task.bindings, task.rows, &abort_, *pool_);
    return {done ? RunResult::kDone : RunResult::kAborted, {}};
  } catch (const std::exception& error) {
    return {RunResult::kFailed, error.what()};
  }
}

}  // namespace heedful
