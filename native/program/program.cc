#include "program/program.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>

#include "runtime/dispatch.h"

namespace heedful {
namespace {

void Resolve(Step& step, std::byte* arena, const Bindings& bindings) {
  for (size_t i = 0; i < step.places.size(); ++i) {
    const OperandPlace& place = step.places[i];
    if (place.slot < 0) continue;
    std::byte* base = place.slot == 0 ? arena : bindings[place.slot - 1]->data();
    step.instruction.operands[i].data = base + place.byteOffset;
  }
}

void CheckBindings(const Bindings& bindings, const std::vector<int64_t>& slotBytes) {
  HEEDFUL_CHECK(bindings.size() + 1 == slotBytes.size(),
                "run: expected " + std::to_string(slotBytes.size() - 1) + " bindings, got " +
                    std::to_string(bindings.size()));
  for (size_t i = 0; i < bindings.size(); ++i)
    HEEDFUL_CHECK(static_cast<int64_t>(bindings[i]->size()) >= slotBytes[i + 1],
                  "run: binding " + std::to_string(i) + " must hold " + std::to_string(slotBytes[i + 1]) +
                      " bytes, it holds " + std::to_string(bindings[i]->size()));
}

// Calls fn(operand, bytes) for every input of indices, bytes being a multiple of the workspace's alignment.
template <class F>
void ForIndices(Instruction& in, F&& fn) {
  if (in.op->integers_are_data) return;
  for (size_t i = 0; i + in.op->outputs < in.operands.size(); ++i) {
    Operand& operand = in.operands[i];
    if (!operand || operand.dtype != DType::kI32) continue;
    fn(operand, (static_cast<size_t>(Extent(operand)) * sizeof(int32_t) + 63) / 64 * 64);
  }
}

size_t WorkspaceBytes(Step& step, int threads) {
  size_t bytes = step.reference ? 0 : step.instruction.op->workspace(step.instruction, threads);
  ForIndices(step.instruction, [&](Operand&, size_t index_bytes) { bytes += index_bytes; });
  return bytes;
}

size_t WorkspaceBytes(std::vector<Step>& steps, int threads) {
  size_t most = 0;
  for (Step& step : steps) most = std::max(most, WorkspaceBytes(step, threads));
  return most;
}

// Indices are copied before they are checked: neither what the instruction writes nor JavaScript, which may
// hold the same memory, can change them between the check and their use.
void CopyIndices(Instruction& in, std::byte*& workspace) {
  ForIndices(in, [&](Operand& operand, size_t bytes) {
    std::memcpy(workspace, operand.data, static_cast<size_t>(Extent(operand)) * sizeof(int32_t));
    operand.data = workspace;
    workspace += bytes;
  });
}

void RunStep(Step& step, Context& context) {
  CopyIndices(step.instruction, context.workspace);
  if (step.reference)
    step.instruction.op->reference(step.instruction);
  else
    step.instruction.op->run(step.instruction, context);
}

const std::atomic<bool> kNeverAborted{false};

// Bytes behind the workspace of an instruction. What is written there would be found much later, elsewhere.
constexpr std::byte kGuardByte{0xa5};
constexpr size_t kGuardBytes = 64;

void RunGuarded(Step& step, Context& context) {
  std::byte* guard = context.workspace + WorkspaceBytes(step, context.threads());
  std::fill_n(guard, kGuardBytes, kGuardByte);
  RunStep(step, context);
  HEEDFUL_CHECK(
      std::all_of(guard, guard + kGuardBytes, [](std::byte b) { return b == kGuardByte; }),
      std::string(step.instruction.op->name) + ": wrote behind its workspace; this is a defect of heedful");
}

}  // namespace

std::byte* Workspace::Reserve(size_t bytes) {
  if (!buffer_ || buffer_->size() < bytes) {
    buffer_.reset();
    size_.store(0, std::memory_order_relaxed);
    buffer_ = std::make_unique<AlignedBuffer>(bytes);
    size_.store(static_cast<int64_t>(bytes), std::memory_order_relaxed);
  }
  return buffer_->data();
}

Program::Program(const double* code, size_t length, const ProgramLimits& limits, int64_t commitIndex)
    : limits_(limits),
      commitIndex_(commitIndex),
      steps_(Decode(code, length, limits)),
      slotBytes_(SetRows(steps_, limits, limits.capacity)),
      rows_(limits.capacity),
      arena_(static_cast<size_t>(limits.arenaBytes)),
      counters_(steps_.size()) {}

void Program::PrepareRows(int64_t rows) {
  if (limits_.capacity == 0) rows = 0;
  HEEDFUL_CHECK(
      rows >= 0 && rows <= limits_.capacity,
      "run: expected 0 to " + std::to_string(limits_.capacity) + " rows, got " + std::to_string(rows));
  if (rows == rows_) return;
  rows_ = -1;
  slotBytes_ = SetRows(steps_, limits_, rows);
  rows_ = rows;
}

std::byte* Program::PrepareWorkspace(int threads) {
  const Setting setting{rows_, threads};
  if (workspaceSetting_ == setting) return workspace_.Reserve(0);
  workspaceSetting_ = {-1, 0};  // as long as it may fail
  std::byte* memory = workspace_.Reserve(WorkspaceBytes(steps_, threads));
  workspaceSetting_ = setting;
  return memory;
}

bool Program::Run(const Bindings& bindings, int64_t rows, const std::atomic<bool>* abortFlag,
                  ThreadPool& pool) {
  const std::atomic<bool>& abort = abortFlag ? *abortFlag : kNeverAborted;
  std::lock_guard lock(mutex_);
  PrepareRows(rows);
  CheckBindings(bindings, slotBytes_);
  ThreadPool::Hold hold(pool);
  std::byte* workspace = PrepareWorkspace(pool.threads());
  const KernelTable& kernels = Kernels();
  for (Step& step : steps_) Resolve(step, arena_.data(), bindings);

  const auto count = static_cast<int64_t>(steps_.size());
  const int64_t commit = std::min(commitIndex_, count);
  for (int64_t i = 0; i < count; ++i) {
    // What the instruction before commit left unfinished because of the abort is seen at commit.
    if (i <= commit && abort.load(std::memory_order_relaxed)) return false;
    Context context{kernels, pool, workspace, i < commit ? abort : kNeverAborted};
    NamingInstruction(i, count, [&] {
      if (!profiling_.load(std::memory_order_relaxed)) return RunStep(steps_[i], context);
      const auto start = std::chrono::steady_clock::now();
      RunStep(steps_[i], context);
      const std::chrono::nanoseconds time = std::chrono::steady_clock::now() - start;
      counters_[i].nanoseconds.fetch_add(time.count(), std::memory_order_relaxed);
      counters_[i].calls.fetch_add(1, std::memory_order_relaxed);
    });
  }
  return commit < count || !abort.load(std::memory_order_relaxed);
}

void Program::SetProfiling(bool on) {
  if (on && !profiling_.load()) {
    for (Counter& counter : counters_) {
      counter.nanoseconds.store(0, std::memory_order_relaxed);
      counter.calls.store(0, std::memory_order_relaxed);
    }
  }
  profiling_.store(on);
}

std::vector<Program::Figures> Program::Profile() const {
  std::vector<Figures> figures;
  for (const Counter& counter : counters_)
    figures.push_back(
        {counter.nanoseconds.load(std::memory_order_relaxed), counter.calls.load(std::memory_order_relaxed)});
  return figures;
}

void Execute(const double* code, size_t length, const Bindings& bindings, Workspace& workspace,
             ThreadPool& pool) {
  const ProgramLimits limits{0, static_cast<int>(bindings.size()), 0};
  std::vector<Step> steps = Decode(code, length, limits);
  CheckBindings(bindings, SetRows(steps, limits, 0));
  ThreadPool::Hold hold(pool);
  std::byte* memory = workspace.Reserve(WorkspaceBytes(steps, pool.threads()) + kGuardBytes);
  for (size_t i = 0; i < steps.size(); ++i) {
    Resolve(steps[i], nullptr, bindings);
    Context context{Kernels(), pool, memory, kNeverAborted};
    NamingInstruction(i, steps.size(), [&] { RunGuarded(steps[i], context); });
  }
}

}  // namespace heedful
