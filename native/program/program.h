// A list of checked instructions with all its memory, ready to run again and again.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "program/decode.h"
#include "runtime/buffer.h"

namespace heedful {

using Bindings = std::vector<std::shared_ptr<AlignedBuffer>>;

// What drivers compute in: as large as the largest instruction so far needs.
class Workspace {
 public:
  std::byte* Reserve(size_t bytes);
  int64_t size() const { return size_.load(std::memory_order_relaxed); }

 private:
  std::unique_ptr<AlignedBuffer> buffer_;
  std::atomic<int64_t> size_{0};
};

class Program {
 public:
  // Throws Error when the code is not sound. Instructions from `commitIndex` on change state that must not be
  // left half changed: an abort that comes once they are reached is ignored.
  Program(const double* code, size_t length, const ProgramLimits& limits, int64_t commitIndex);

  // Runs all instructions with the memory of `bindings` as slots 1, 2, …; one run at a time, others wait.
  // False: it was aborted (nullptr: never). Throws Error, also when a binding is smaller than the operands in
  // it.
  bool Run(const Bindings& bindings, int64_t rows, const std::atomic<bool>* abort, ThreadPool& pool);

  int64_t memoryBytes() const { return static_cast<int64_t>(arena_.size()) + workspace_.size(); }

  void SetProfiling(bool on);
  struct Figures {
    int64_t nanoseconds, calls;
  };
  // One entry for each instruction, since profiling was switched on.
  std::vector<Figures> Profile() const;

 private:
  struct Counter {
    std::atomic<int64_t> nanoseconds{0}, calls{0};
  };

  // What the size of the workspace depends on.
  struct Setting {
    int64_t rows;
    int threads;
    bool operator==(const Setting&) const = default;
  };

  void PrepareRows(int64_t rows);
  std::byte* PrepareWorkspace(int threads);

  const ProgramLimits limits_;
  const int64_t commitIndex_;
  std::mutex mutex_;  // guards what a run changes
  std::vector<Step> steps_;
  std::vector<int64_t> slotBytes_;
  int64_t rows_;  // that steps_ is set to; -1: to none, a check refused it
  AlignedBuffer arena_;
  Workspace workspace_;
  Setting workspaceSetting_{-1, 0};
  std::atomic<bool> profiling_{false};
  std::vector<Counter> counters_;
};

// Runs code once on this thread, without an arena. Throws Error.
void Execute(const double* code, size_t length, const Bindings& bindings, Workspace& workspace,
             ThreadPool& pool);

}  // namespace heedful
