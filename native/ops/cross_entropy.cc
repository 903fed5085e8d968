// crossEntropy: lossᵢ = −Σ_c q_c · ln softmax(logitsᵢ)_c,  q = (1 − smoothing) · onehot(targetᵢ) + smoothing
// / V,
//   lossᵢ = 0 where targetᵢ = ignoreIndex;  loss = lossᵢ (reduction 0), Σ lossᵢ / count (1), Σ lossᵢ (2),
//   count being the number of targets that are not ignored: the mean of nothing is NaN. lseᵢ = ln Σ_c exp
//   logitsᵢ, 0 for ignored.
// crossEntropyGradient: dLogitsᵢ = dLossᵢ · (exp(logitsᵢ − lseᵢ) − q), dLossᵢ = dLoss / count for the mean; 0
// for
//   ignored targets.
//
// logits, dLogits [N, V]; targets i32 [N]; lse [N]; loss, dLoss [N] for reduction 0, else []; f32 or f64.
// Layouts: logits, dLogits: the last dimension contiguous, the other arbitrary; the rest contiguous. dLogits
// may be logits with the same data and strides; otherwise no output overlaps anything. Logits of ignored rows
// are not read. Errors: a target outside [0, V) that is not ignoreIndex, before anything is written.
// Accuracy: losses of rows are added in order, in double. The same as torch.nn.functional.cross_entropy.
#include "kernels/reference/loss.h"
#include "ops/chunks.h"
#include "ops/op_list.h"
#include "ops/operands.h"
#include "ops/rows.h"
#include "ops/targets.h"

namespace heedful {
namespace {

using reference::LossReduction;

void CheckCommon(const OperandCheck& check, const Instruction& in, const Operand& logits,
                 const Operand& targets, const Operand& lse, const char* loss_name, const Operand& loss) {
  check.Float("logits", logits);
  check.Require(logits.rank == 2, "logits must have the shape [rows, classes], not " + ShapeText(logits));
  check.Rows("logits", logits);
  check.Int("targets", targets);
  check.Vector("targets", targets, logits.dims[0]);
  check.Float(loss_name, loss);
  CheckLossSettings(check, in);
  if (LossSettings(in).reduction == LossReduction::none) {
    check.Vector(loss_name, loss, logits.dims[0]);
  } else {
    check.Scalar(loss_name, loss);
  }
  if (lse) {
    check.Float("lse", lse);
    check.Vector("lse", lse, logits.dims[0]);
  }
}

void Check(const Instruction& in) {
  CheckCommon(OperandCheck("crossEntropy", in[2].dtype), in, in[0], in[1], in[3], "loss", in[2]);
}

void CheckGradient(const Instruction& in) {
  const OperandCheck check("crossEntropyGradient", in[4].dtype);
  CheckCommon(check, in, in[0], in[1], in[2], "dLoss", in[3]);
  check.Require(in[2].present, "lse is missing");
  check.Float("dLogits", in[4]);
  check.Shape("dLogits", in[4], in[0]);
  check.Rows("dLogits", in[4]);
  check.Output("dLogits", in[4]);
}

// Losses of the rows, when they are not the result themselves.
size_t Workspace(const Instruction& in, int) {
  return LossSettings(in).reduction == LossReduction::none
             ? 0
             : sizeof(float) * static_cast<size_t>(in[0].dims[0]);
}

void Run(const Instruction& in, Context& context) {
  const LossSettings s(in);
  const int64_t rows = in[0].dims[0], classes = in[0].dims[1];
  const int64_t count = CheckTargets("crossEntropy", in[1], classes, s.ignore_index);
  const RowPointers<> logits(in[0]);
  const int32_t* targets = in[1].As<int32_t>();
  float* lse = in[3] ? in[3].As<float>() : nullptr;
  float* losses =
      s.reduction == LossReduction::none ? in[2].As<float>() : reinterpret_cast<float*>(context.workspace);
  ForChunks(context, rows, classes, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float row_lse = 0, loss = 0;
      if (targets[i] != s.ignore_index) {
        loss = context.kernels.rows.cross_entropy(logits[i], targets[i], static_cast<float>(s.smoothing),
                                                  classes, &row_lse);
      }
      losses[i] = loss;
      if (lse) lse[i] = row_lse;
    }
  });
  if (s.reduction == LossReduction::none) return;
  double total = 0;
  for (int64_t i = 0; i < rows; ++i) total += losses[i];
  if (s.reduction == LossReduction::mean) total /= static_cast<double>(count);
  *in[2].As<float>() = static_cast<float>(total);
}

void RunGradient(const Instruction& in, Context& context) {
  const LossSettings s(in);
  const int64_t rows = in[0].dims[0], classes = in[0].dims[1];
  const int64_t count = CheckTargets("crossEntropyGradient", in[1], classes, s.ignore_index);
  const RowPointers<> logits(in[0]), d_logits(in[4]);
  const int32_t* targets = in[1].As<int32_t>();
  const float *lse = in[2].As<float>(), *d_loss = in[3].As<float>();
  ForChunks(context, rows, classes, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (targets[i] == s.ignore_index) {
        std::fill_n(d_logits[i], classes, 0.0f);
        continue;
      }
      float scale = s.reduction == LossReduction::none ? d_loss[i] : *d_loss;
      if (s.reduction == LossReduction::mean) scale /= static_cast<float>(count);
      context.kernels.rows.cross_entropy_gradient(logits[i], targets[i], static_cast<float>(s.smoothing),
                                                  lse[i], scale, d_logits[i], classes);
    }
  });
}

void Reference(const Instruction& in) {
  const LossSettings s(in);
  CheckTargets("crossEntropy", in[1], in[0].dims[1], s.ignore_index);
  reference::CrossEntropy(ReferenceView<double>(in[0]), ReferenceView<int32_t>(in[1]),
                          ReferenceView<double>(in[2]), ReferenceView<double>(in[3]), s.ignore_index,
                          s.smoothing, s.reduction);
}

void ReferenceGradient(const Instruction& in) {
  const LossSettings s(in);
  CheckTargets("crossEntropyGradient", in[1], in[0].dims[1], s.ignore_index);
  reference::CrossEntropyGradient(ReferenceView<double>(in[0]), ReferenceView<int32_t>(in[1]),
                                  ReferenceView<double>(in[2]), ReferenceView<double>(in[3]),
                                  ReferenceView<double>(in[4]), s.ignore_index, s.smoothing, s.reduction);
}

}  // namespace

const OpInfo kCrossEntropyOp = {"crossEntropy", 2, 2, 3, Check, Workspace, Run, Reference};
const OpInfo kCrossEntropyGradientOp = {"crossEntropyGradient", 4,           1,           3,
                                        CheckGradient,          NoWorkspace, RunGradient, ReferenceGradient};

}  // namespace heedful
