// linearCrossEntropy: crossEntropy (cross_entropy.cc) of logitsᵢ = hiddenᵢ · weightᵀ + bias, and its
// gradients, without the logits of all rows:
//   loss = Σ lossᵢ / count (reduction 1) or Σ lossᵢ (2);  with D = ∂loss/∂logits
//   dHidden = D · weight,  dWeight = Dᵀ · hidden,  dBias = Σᵢ Dᵢ.
//
// hidden, dHidden [N, H]; weight, dWeight [V, H]; bias, dBias [V]; targets i32 [N]; loss []; f32 or f64.
// Layouts: hidden, weight: the last dimension contiguous, the other arbitrary; the rest contiguous. No output
// overlaps anything. Errors: as crossEntropy. Accuracy: ops/gemm.h; products of parts of the rows are added
// in order.
//
// A part of the rows has its logits in the workspace (they stay in the last cache where that is possible):
// they become the loss, then in place its gradient, then the gradients of hidden and weight. So a logit is
// computed once, and nothing of it is left for a backward pass.
#include <cmath>

#include "kernels/reference/loss.h"
#include "ops/chunks.h"
#include "ops/gemm.h"
#include "ops/op_list.h"
#include "ops/operands.h"
#include "ops/targets.h"

namespace heedful {
namespace {

using reference::LossReduction;

enum { kHidden, kWeight, kTargets, kBias, kLoss, kDHidden, kDWeight, kDBias };

constexpr int64_t kLogits = 8 << 20;   // floats of a part's logits: a last-level cache
constexpr int64_t kProduct = 1 << 20;  // floats of dWeight that are made at once before they are added
constexpr int64_t kFewestRows = 64;    // each part reads weight and changes dWeight once: not for fewer

int64_t PartRows(int64_t rows, int64_t classes) {
  return std::min(rows, std::max(kFewestRows, kLogits / std::max<int64_t>(1, classes) / 32 * 32));
}
int64_t ProductClasses(int64_t classes, int64_t hidden_size) {
  return std::min(classes, std::max<int64_t>(64, kProduct / std::max<int64_t>(1, hidden_size)));
}

void Check(const Instruction& in) {
  const Operand &hidden = in[kHidden], &weight = in[kWeight], &bias = in[kBias];
  const OperandCheck check("linearCrossEntropy", in[kLoss].dtype);
  check.Float("hidden", hidden);
  check.Float("weight", weight);
  check.Require(hidden.rank == 2 && weight.rank == 2 && hidden.dims[1] == weight.dims[1],
                "hidden must have the shape [rows, columns] and weight [classes, columns], not " +
                    ShapeText(hidden) + " and " + ShapeText(weight));
  check.Rows("hidden", hidden);
  check.Rows("weight", weight);
  check.Int("targets", in[kTargets]);
  check.Vector("targets", in[kTargets], hidden.dims[0]);
  check.Float("loss", in[kLoss]);
  check.Scalar("loss", in[kLoss]);
  for (const auto& [name, x] : {std::pair{"bias", &bias}, {"dBias", &in[kDBias]}}) {
    if (!x->present) continue;
    check.Float(name, *x);
    check.Vector(name, *x, weight.dims[0]);
  }
  for (const auto& [name, x, like] :
       {std::tuple{"dHidden", &in[kDHidden], &hidden}, {"dWeight", &in[kDWeight], &weight}}) {
    if (!x->present) continue;
    check.Float(name, *x);
    check.Shape(name, *x, *like);
    check.Contiguous(name, *x);
  }
  CheckLossSettings(check, in);
  check.Require(LossSettings(in).reduction != LossReduction::none, "reduction must be the mean or the sum");
}

int64_t Align(int64_t floats) { return (floats + 15) / 16 * 16; }

// What lies in the workspace, in floats, the products' own first.
struct Layout {
  int64_t part, classes_at_once, products, logits, product, losses;
  Layout(const Instruction& in, int threads) {
    const int64_t rows = in[kHidden].dims[0], h = in[kHidden].dims[1], classes = in[kWeight].dims[0];
    part = PartRows(rows, classes);
    classes_at_once = ProductClasses(classes, h);
    const size_t bytes =
        std::max({GemmWorkspace(part, classes, h, threads), GemmWorkspace(part, h, classes, threads),
                  GemmWorkspace(classes_at_once, h, part, threads)});
    products = Align(static_cast<int64_t>(bytes / sizeof(float)));
    logits = Align(part * classes);
    product = part < rows && in[kDWeight] ? Align(classes_at_once * h) : 0;
    losses = Align(rows);
  }
};

size_t Workspace(const Instruction& in, int threads) {
  const Layout layout(in, threads);
  return sizeof(float) *
         static_cast<size_t>(layout.products + layout.logits + layout.product + layout.losses);
}

int64_t RowStride(const Operand& x) { return x.dims[0] > 1 ? x.strides[0] : x.dims[1]; }

// One run. The parts come one after another, each of them on all threads.
class LinearCrossEntropy {
 public:
  LinearCrossEntropy(const Instruction& in, Context& context)
      : in_(in), context_(context), settings_(in), layout_(in, context.threads()) {
    float* const workspace = reinterpret_cast<float*>(context.workspace);
    logits_ = workspace + layout_.products;
    product_ = logits_ + layout_.logits;
    losses_ = product_ + layout_.product;
  }

  void Run() {
    count_ = CheckTargets("linearCrossEntropy", in_[kTargets], classes_, settings_.ignore_index);
    if (rows_ == 0) {
      for (const int output : {kDWeight, kDBias}) {
        if (in_[output]) std::fill_n(in_[output].As<float>(), in_[output].Size(), 0.0f);
      }
    }
    const bool gradients = in_[kDHidden] || in_[kDWeight] || in_[kDBias];
    for (int64_t begin = 0; begin < rows_ && !context_.aborted.load(std::memory_order_relaxed);
         begin += layout_.part) {
      const int64_t rows = std::min(layout_.part, rows_ - begin);
      MakeLogits(begin, rows);
      MakeLosses(begin, rows, gradients);
      if (in_[kDHidden]) AddToHidden(begin, rows);
      if (in_[kDWeight]) AddToWeight(begin, rows);
      if (in_[kDBias]) AddToBias(begin, rows);
    }
    double total = 0;
    for (int64_t i = 0; i < rows_; ++i) total += losses_[i];
    if (settings_.reduction == LossReduction::mean) total /= static_cast<double>(count_);
    *in_[kLoss].As<float>() = static_cast<float>(total);
  }

 private:
  const float* Hidden(int64_t row) const { return in_[kHidden].As<float>() + row * hidden_row_; }
  const float* Weight(int64_t row) const { return in_[kWeight].As<float>() + row * weight_row_; }

  void MakeLogits(int64_t begin, int64_t rows) {
    Gemm g;
    g.m = rows, g.n = classes_, g.k = columns_;
    g.a = Hidden(begin), g.a_row = hidden_row_, g.a_k = 1;
    g.b = Weight(0), g.b_k = 1, g.b_column = weight_row_;
    g.c = logits_, g.c_row = classes_;
    g.epilogue.function = Unary::identity;
    if (in_[kBias]) g.epilogue.bias = in_[kBias].As<float>();
    RunGemm(g, context_);
  }

  // Then the logits are the gradient of the loss by them, if it is wanted.
  void MakeLosses(int64_t begin, int64_t rows, bool gradients) {
    const int32_t* const targets = in_[kTargets].As<int32_t>() + begin;
    const float smoothing = static_cast<float>(settings_.smoothing);
    const float scale = settings_.reduction == LossReduction::mean ? 1.0f / static_cast<float>(count_) : 1.0f;
    const RowKernels& kernels = context_.kernels.rows;
    ForChunks(context_, rows, classes_, [&](int64_t from, int64_t to) {
      for (int64_t i = from; i < to; ++i) {
        float* const row = logits_ + i * classes_;
        losses_[begin + i] = 0;
        if (targets[i] == settings_.ignore_index) {
          if (gradients) std::fill_n(row, classes_, 0.0f);
          continue;
        }
        float lse;
        losses_[begin + i] = kernels.cross_entropy(row, targets[i], smoothing, classes_, &lse);
        if (gradients) kernels.cross_entropy_gradient(row, targets[i], smoothing, lse, scale, row, classes_);
      }
    });
  }

  void AddToHidden(int64_t begin, int64_t rows) {
    Gemm g;
    g.m = rows, g.n = columns_, g.k = classes_;
    g.a = logits_, g.a_row = classes_, g.a_k = 1;
    g.b = Weight(0), g.b_k = weight_row_, g.b_column = 1;
    g.c = in_[kDHidden].As<float>() + begin * columns_, g.c_row = columns_;
    g.epilogue.function = Unary::identity;
    RunGemm(g, context_);
  }

  void AddToWeight(int64_t begin, int64_t rows) {
    const bool first = begin == 0;
    // Made where it belongs at first, else beside it and added.
    const int64_t step = layout_.classes_at_once;
    for (int64_t c = 0; c < classes_; c += step) {
      float* const d_weight = in_[kDWeight].As<float>() + c * columns_;
      Gemm g;
      g.m = std::min(step, classes_ - c), g.n = columns_, g.k = rows;
      g.a = logits_ + c, g.a_row = 1, g.a_k = classes_;
      g.b = Hidden(begin), g.b_k = hidden_row_, g.b_column = 1;
      g.c = first ? d_weight : product_, g.c_row = columns_;
      g.epilogue.function = Unary::identity;
      RunGemm(g, context_);
      if (first) continue;
      ForChunks(context_, g.m * columns_, 1, [&](int64_t from, int64_t to) {
        context_.kernels.rows.accumulate(product_ + from, d_weight + from, to - from);
      });
    }
  }

  void AddToBias(int64_t begin, int64_t rows) {
    float* const d_bias = in_[kDBias].As<float>();
    ForChunks(context_, classes_, rows, [&](int64_t from, int64_t to) {
      if (begin == 0) std::fill_n(d_bias + from, to - from, 0.0f);
      for (int64_t i = 0; i < rows; ++i)
        context_.kernels.rows.accumulate(logits_ + i * classes_ + from, d_bias + from, to - from);
    });
  }

  const Instruction& in_;
  Context& context_;
  const LossSettings settings_;
  const Layout layout_;
  const int64_t rows_ = in_[kHidden].dims[0], columns_ = in_[kHidden].dims[1],
                classes_ = in_[kWeight].dims[0];
  const int64_t hidden_row_ = RowStride(in_[kHidden]), weight_row_ = RowStride(in_[kWeight]);
  int64_t count_ = 0;
  float *logits_, *product_, *losses_;
};

void Run(const Instruction& in, Context& context) { LinearCrossEntropy(in, context).Run(); }

void Reference(const Instruction& in) {
  const LossSettings s(in);
  CheckTargets("linearCrossEntropy", in[kTargets], in[kWeight].dims[0], s.ignore_index);
  reference::LinearCrossEntropy(ReferenceView<double>(in[kHidden]), ReferenceView<double>(in[kWeight]),
                                ReferenceView<int32_t>(in[kTargets]), ReferenceView<double>(in[kBias]),
                                ReferenceView<double>(in[kLoss]), ReferenceView<double>(in[kDHidden]),
                                ReferenceView<double>(in[kDWeight]), ReferenceView<double>(in[kDBias]),
                                s.ignore_index, s.smoothing, s.reduction);
}

}  // namespace

const OpInfo kLinearCrossEntropyOp = {"linearCrossEntropy", 4, 4, 3, Check, Workspace, Run, Reference};

}  // namespace heedful
