// sample: token[r] with probability in proportion to exp(logits[r, token] / temperature[r]), of those that
// topK, topP and minP leave (reference/sample.h, Sampling in kernel_table.h).
//
// logits [R, V], seed, step i32 [R], temperature [R], topK i32 [R], topP, minP [R] → token i32 [R]; f32 or
// f64. An absent temperature is 1; absent filters leave everything; topK 0 as well. 1 ≤ V ≤ 2²⁴. Layouts:
// logits: the last dimension contiguous, the other arbitrary; the rest contiguous. Errors, before anything is
// written: a value out of its range; afterwards: a row with NaN, or without a finite largest logit. Its
// uniform number is made of (seed, step) alone (kernels/random.h): neither the other rows nor the number of
// threads change a token. Instruction sets round weights differently: where the number falls within 1e-7 of
// the boundary between two tokens, they may differ.
#include "kernels/reference/sample.h"

#include <cmath>
#include <string>

#include "kernels/random.h"
#include "ops/chunks.h"
#include "ops/op_list.h"
#include "ops/operands.h"
#include "ops/rows.h"
#include "runtime/dispatch.h"

namespace heedful {
namespace {

enum { kLogits, kSeed, kStep, kTemperature, kTopK, kTopP, kMinP, kToken };

constexpr int64_t kMaxVocabulary = 1 << 24;
// Tells these random numbers from those of dropout under the same seed.
constexpr uint32_t kStream = 0x73616d70;

void Check(const Instruction& in) {
  const Operand& logits = in[kLogits];
  const OperandCheck check("sample", logits.dtype);
  check.Float("logits", logits);
  check.Require(logits.rank == 2 && logits.dims[1] >= 1 && logits.dims[1] <= kMaxVocabulary,
                "logits must have the shape [rows, 1 to 2^24 classes], not " + ShapeText(logits));
  check.Rows("logits", logits);
  const char* names[] = {"logits", "seed", "step", "temperature", "topK", "topP", "minP", "token"};
  for (const int i : {kSeed, kStep, kTemperature, kTopK, kTopP, kMinP, kToken}) {
    const bool optional = i >= kTemperature && i <= kMinP;
    if (optional && !in[i].present) continue;
    if (i == kTemperature || i == kTopP || i == kMinP)
      check.Float(names[i], in[i]);
    else
      check.Int(names[i], in[i]);
    check.Vector(names[i], in[i], logits.dims[0]);
  }
}

template <class T>
double Given(const Operand& x, int64_t row, double otherwise) {
  return x.present ? static_cast<double>(x.As<T>()[row]) : otherwise;
}

// Throws unless everything is in its range.
template <class T>
reference::SampleRule RuleOf(const Instruction& in, int64_t row) {
  const auto require = [&](bool condition, const char* name, double value, const char* expected) {
    HEEDFUL_CHECK(condition, "sample: " + std::string(name) + "[" + std::to_string(row) + "] is " +
                                 std::to_string(value) + ", expected " + expected);
  };
  reference::SampleRule rule;
  rule.temperature = Given<T>(in[kTemperature], row, 1);
  rule.top_p = Given<T>(in[kTopP], row, 1);
  rule.min_p = Given<T>(in[kMinP], row, 0);
  const double top_k = Given<int32_t>(in[kTopK], row, 0);
  require(rule.temperature >= 0 && std::isfinite(rule.temperature), "temperature", rule.temperature,
          "a number from 0 on");
  require(top_k >= 0, "topK", top_k, "a number from 1 on, or 0 for all");
  require(rule.top_p >= 0 && rule.top_p <= 1, "topP", rule.top_p, "0 to 1");
  require(rule.min_p >= 0 && rule.min_p <= 1, "minP", rule.min_p, "0 to 1");
  const int64_t classes = in[kLogits].dims[1];
  rule.top_k = top_k == 0 || top_k > classes ? classes : static_cast<int64_t>(top_k);
  const uint32_t seed = static_cast<uint32_t>(in[kSeed].As<int32_t>()[row]);
  const uint64_t at = 2 * uint64_t{static_cast<uint32_t>(in[kStep].As<int32_t>()[row])};
  const uint64_t bits = uint64_t{Random32(seed, kStream, at)} << 32 | Random32(seed, kStream, at + 1);
  rule.uniform = static_cast<double>(bits >> 11) * 0x1p-53;
  return rule;
}

template <class T>
[[noreturn]] void FailRow(const Instruction& in, int64_t row) {
  const RowPointers<T> logits(in[kLogits]);
  const int64_t n = in[kLogits].dims[1];
  const T* x = logits[row];
  for (int64_t i = 0; i < n; ++i) {
    HEEDFUL_CHECK(x[i] == x[i], "sample: the logit of token " + std::to_string(i) + " in row " +
                                    std::to_string(row) + " is NaN; the model's weights are broken");
  }
  HEEDFUL_CHECK(false, "sample: the largest logit of row " + std::to_string(row) + " is " +
                           (*std::max_element(x, x + n) > 0 ? "Infinity" : "-Infinity") +
                           "; the model's weights are broken");
  std::abort();
}

template <class T>
void CheckTokens(const Instruction& in) {
  for (int64_t row = 0; row < in[kLogits].dims[0]; ++row) {
    if (in[kToken].As<int32_t>()[row] < 0) FailRow<T>(in, row);
  }
}

int64_t ScratchOf(const KernelTable& kernels, const Instruction& in) {
  return (kernels.sampling.scratch(in[kLogits].dims[1]) + 15) / 16 * 16;
}

// Of the rules, whole cache lines.
size_t RuleBytes(const Instruction& in) {
  return (sizeof(reference::SampleRule) * static_cast<size_t>(in[kLogits].dims[0]) + 63) / 64 * 64;
}

size_t Workspace(const Instruction& in, int threads) {
  int64_t floats = 0;
  for (const KernelTable* kernels : AvailableKernels()) floats = std::max(floats, ScratchOf(*kernels, in));
  return RuleBytes(in) + sizeof(float) * static_cast<size_t>(floats * threads);
}

void Run(const Instruction& in, Context& context) {
  const int64_t rows = in[kLogits].dims[0], classes = in[kLogits].dims[1];
  const RowPointers<> logits(in[kLogits]);
  const int64_t scratch = ScratchOf(context.kernels, in);
  // Read once: JavaScript may hold the same memory.
  auto* const rules = reinterpret_cast<reference::SampleRule*>(context.workspace);
  for (int64_t row = 0; row < rows; ++row) rules[row] = RuleOf<float>(in, row);
  auto* const lists = reinterpret_cast<float*>(context.workspace + RuleBytes(in));
  const auto one = [&](int64_t row, int worker) {
    const reference::SampleRule& rule = rules[row];
    Sampling s;
    s.logits = logits[row];
    s.n = classes;
    s.temperature = static_cast<float>(rule.temperature);
    s.top_k = rule.top_k;
    s.top_p = static_cast<float>(rule.top_p);
    s.min_p = static_cast<float>(rule.min_p);
    s.uniform = rule.uniform;
    s.scratch = lists + scratch * worker;
    in[kToken].As<int32_t>()[row] = static_cast<int32_t>(context.kernels.sampling.run(s));
  };
  if (rows * classes <= kGrain) {
    for (int64_t row = 0; row < rows; ++row) one(row, 0);
  } else {
    context.Parallel(rows, one);
  }
  if (!context.aborted.load(std::memory_order_relaxed)) CheckTokens<float>(in);
}

void Reference(const Instruction& in) {
  const auto logits = ReferenceView<double>(in[kLogits]);
  for (int64_t row = 0; row < in[kLogits].dims[0]; ++row) {
    const reference::SampleRule rule = RuleOf<double>(in, row);
    in[kToken].As<int32_t>()[row] = static_cast<int32_t>(reference::Sample(logits, row, rule));
  }
  CheckTokens<double>(in);
}

}  // namespace

const OpInfo kSampleOp = {
    .name = "sample",
    .inputs = 7,
    .outputs = 1,
    .attributes = 0,
    .check = Check,
    .workspace = Workspace,
    .run = Run,
    .reference = Reference,
    .integers_are_data = true,
};

}  // namespace heedful
