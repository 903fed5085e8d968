// adamW, step t ≥ 1, with g = gradient · gradientScale (1 when absent):
//   m ← β1·m + (1 − β1)·g;  v ← β2·v + (1 − β2)·g²;
//   p ← p − lr·λ·p − lr · (m / (1 − β1ᵗ)) / (√(v / (1 − β2ᵗ)) + ε)
// globalNorm: √ Σ g² over all elements of all inputs.
//
// gradient, parameter, m, v of one shape; with slots i32 [V] parameter, m and v are [V, D], gradient is
// [rows, D], and row v of the parameter has row slots[v] of it, or 0 where that is −1 (see embeddingRows in
// embedding.cc); learningRate, gradientScale []; step i32 []; parameter, m and v are updated in place.
// globalNorm: any number of inputs of any shapes → []. f32 or f64. Layouts: everything contiguous. No
// overlaps among parameter, m, v and gradient. Errors: step < 1, before anything is written. Accuracy: bias
// corrections and the sum of squares in double, the latter over chunks of fixed size added in order; within a
// chunk in float: above 1e19 a square is ∞, below 1e-19 it is 0. Source: Loshchilov & Hutter 2019 (arXiv
// 1711.05101), algorithm 2.
#include "kernels/reference/optimizer.h"

#include <cmath>

#include "ops/chunks.h"
#include "ops/op_list.h"
#include "ops/operands.h"

namespace heedful {
namespace {

enum { kGradient, kLearningRate, kStep, kScale, kSlots, kParameter, kM, kV };
enum { kBeta1, kBeta2, kEpsilon, kWeightDecay };

void CheckAdamW(const Instruction& in) {
  const Operand& parameter = in[kParameter];
  const OperandCheck check("adamW", parameter.dtype);
  const Operand &gradient = in[kGradient], &slots = in[kSlots];
  for (const auto& [name, x] :
       {std::pair{"gradient", &gradient}, {"parameter", &parameter}, {"m", &in[kM]}, {"v", &in[kV]}}) {
    check.Float(name, *x);
    check.Contiguous(name, *x);
    if (x != &gradient || !slots) check.Shape(name, *x, parameter);
  }
  if (slots) {
    check.Require(parameter.rank == 2 && gradient.rank == 2 && gradient.dims[1] == parameter.dims[1],
                  "with slots, gradient and parameter must be matrices of as many columns, not " +
                      ShapeText(gradient) + " and " + ShapeText(parameter));
    check.Int("slots", slots);
    check.Vector("slots", slots, parameter.dims[0]);
  }
  check.Float("learningRate", in[kLearningRate]);
  check.Scalar("learningRate", in[kLearningRate]);
  check.Int("step", in[kStep]);
  check.Scalar("step", in[kStep]);
  if (in[kScale]) {
    check.Float("gradientScale", in[kScale]);
    check.Scalar("gradientScale", in[kScale]);
  }
}

int32_t CheckedStep(const Instruction& in) {
  const int32_t step = *in[kStep].As<int32_t>();
  HEEDFUL_CHECK(step >= 1, "adamW: steps count from 1, but step is " + std::to_string(step));
  return step;
}

// A row of zeros: the gradient of rows without a slot.
size_t AdamWWorkspace(const Instruction& in, int) {
  return in[kSlots] ? sizeof(float) * static_cast<size_t>(in[kParameter].dims[1]) : 0;
}

void CheckSlots(const Instruction& in) {
  const int32_t* slots = in[kSlots].As<int32_t>();
  const int64_t rows = in[kGradient].dims[0];
  for (int64_t v = 0; v < in[kParameter].dims[0]; ++v) {
    HEEDFUL_CHECK(slots[v] >= -1 && slots[v] < rows, "adamW: slot " + std::to_string(slots[v]) + " of row " +
                                                         std::to_string(v) + " is not a row of the gradient");
  }
}

void RunAdamW(const Instruction& in, Context& context) {
  const int32_t step = CheckedStep(in);
  const double learning_rate = *in[kLearningRate].As<float>(), *a = in.attributes;
  AdamW adamw;
  adamw.beta1 = static_cast<float>(a[kBeta1]);
  adamw.beta2 = static_cast<float>(a[kBeta2]);
  // Of a rounded β2 near 1, 1 − β2 would be off by 1e-5.
  adamw.rest1 = static_cast<float>(1 - a[kBeta1]);
  adamw.rest2 = static_cast<float>(1 - a[kBeta2]);
  adamw.epsilon = static_cast<float>(a[kEpsilon]);
  adamw.gradient_scale = in[kScale] ? *in[kScale].As<float>() : 1.0f;
  adamw.decay_factor = static_cast<float>(1 - learning_rate * a[kWeightDecay]);
  adamw.step_size = static_cast<float>(learning_rate / (1 - std::pow(a[kBeta1], step)));
  adamw.inverse_sqrt_correction2 = static_cast<float>(1 / std::sqrt(1 - std::pow(a[kBeta2], step)));
  const float* gradient = in[kGradient].As<float>();
  float *parameter = in[kParameter].As<float>(), *m = in[kM].As<float>(), *v = in[kV].As<float>();
  if (in[kSlots]) {
    CheckSlots(in);
    const int64_t columns = in[kParameter].dims[1];
    const int32_t* slots = in[kSlots].As<int32_t>();
    float* const zeros = reinterpret_cast<float*>(context.workspace);
    std::fill_n(zeros, columns, 0.0f);
    ForChunks(context, in[kParameter].dims[0], columns, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t at = row * columns;
        context.kernels.optimizer.adamw(adamw, slots[row] < 0 ? zeros : gradient + slots[row] * columns,
                                        parameter + at, m + at, v + at, columns);
      }
    });
    return;
  }
  ForChunks(context, in[kParameter].Size(), 1, [&](int64_t begin, int64_t end) {
    context.kernels.optimizer.adamw(adamw, gradient + begin, parameter + begin, m + begin, v + begin,
                                    end - begin);
  });
}

void ReferenceAdamW(const Instruction& in) {
  const double *a = in.attributes, scale = in[kScale] ? *in[kScale].As<double>() : 1;
  reference::View<double> gradient = ReferenceView<double>(in[kGradient]);
  std::vector<double> dense;
  if (in[kSlots]) {
    CheckSlots(in);
    const int64_t columns = in[kParameter].dims[1];
    dense.resize(static_cast<size_t>(in[kParameter].Size()));
    for (int64_t i = 0; i < in[kParameter].Size(); ++i) {
      const int32_t slot = in[kSlots].As<int32_t>()[i / columns];
      if (slot >= 0) dense[static_cast<size_t>(i)] = gradient({slot, i % columns});
    }
    gradient = ReferenceView<double>(in[kParameter]);
    gradient.data = dense.data();
  }
  reference::AdamWStep(gradient, ReferenceView<double>(in[kParameter]), ReferenceView<double>(in[kM]),
                       ReferenceView<double>(in[kV]), *in[kLearningRate].As<double>(), scale, CheckedStep(in),
                       a[kBeta1], a[kBeta2], a[kEpsilon], a[kWeightDecay]);
}

// Elements that become one partial sum.
constexpr int64_t kNormChunk = 65536;

void CheckGlobalNorm(const Instruction& in) {
  HEEDFUL_CHECK(!in.operands.empty(), "globalNorm: the result is missing");
  const Operand& norm = in.operands.back();
  const OperandCheck check("globalNorm", norm.dtype);
  check.Scalar("the result", norm);
  for (const Operand& x : in.operands) {
    check.Float("an operand", x);
    check.Contiguous("an operand", x);
  }
}

int64_t NormChunks(const Instruction& in) {
  int64_t chunks = 0;
  for (size_t i = 0; i + 1 < in.operands.size(); ++i) chunks += CeilDiv(in[i].Size(), kNormChunk);
  return chunks;
}

size_t GlobalNormWorkspace(const Instruction& in, int) {
  return sizeof(double) * static_cast<size_t>(NormChunks(in));
}

void RunGlobalNorm(const Instruction& in, Context& context) {
  double* partial = reinterpret_cast<double*>(context.workspace);
  const int64_t chunks = NormChunks(in);
  int64_t elements = 0;
  for (size_t i = 0; i + 1 < in.operands.size(); ++i) elements += in[i].Size();
  ForTasks(context, chunks, elements, [&](int64_t task) {
    int64_t chunk = task;
    size_t i = 0;
    for (int64_t n; chunk >= (n = CeilDiv(in[i].Size(), kNormChunk)); ++i) chunk -= n;
    const int64_t begin = chunk * kNormChunk, count = std::min(kNormChunk, in[i].Size() - begin);
    partial[task] = context.kernels.rows.sum_of_squares(in[i].As<float>() + begin, count);
  });
  double sum = 0;
  for (int64_t i = 0; i < chunks; ++i) sum += partial[i];
  *in.operands.back().As<float>() = static_cast<float>(std::sqrt(sum));
}

void ReferenceGlobalNorm(const Instruction& in) {
  std::vector<reference::View<double>> gradients;
  for (size_t i = 0; i + 1 < in.operands.size(); ++i) gradients.push_back(ReferenceView<double>(in[i]));
  *in.operands.back().As<double>() = reference::GlobalNorm(gradients);
}

}  // namespace

const OpInfo kAdamWOp = {"adamW", 5, 3, 4, CheckAdamW, AdamWWorkspace, RunAdamW, ReferenceAdamW};
const OpInfo kGlobalNormOp = {
    "globalNorm", -1, 1, 0, CheckGlobalNorm, GlobalNormWorkspace, RunGlobalNorm, ReferenceGlobalNorm};

}  // namespace heedful
