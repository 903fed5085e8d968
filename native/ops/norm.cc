// norm: s = x + residual;  y = (s − mean) · rstd ⊙ weight + bias,  rstd = 1 / √(Σ (s − mean)² / n + ε),
// mean = Σ s / n with center = 1 (layer norm), else 0 (RMS norm). Writes y, and s, mean, rstd where given.
//
// x, residual, y, sum […, n]; weight, bias [n]; mean, rstd […]; all f32 or all f64.
// Layouts: x, residual, y, sum: the last dimension contiguous, the others arbitrary; the rest contiguous.
// y and sum may each be x or residual, with the same data and strides (not both the same one); otherwise no
// output overlaps anything. A row of no elements has mean 0 and rstd 1 / √ε. Source: Ba et al. 2016 (arXiv
// 1607.06450); Zhang & Sennrich 2019 (arXiv 1910.07467).
#include "kernels/reference/norm.h"

#include "ops/chunks.h"
#include "ops/op_list.h"
#include "ops/operands.h"
#include "ops/rows.h"

namespace heedful {
namespace {

enum { kX, kResidual, kWeight, kBias, kY, kSum, kMean, kRstd };

void CheckNorm(const Instruction& in) {
  const Operand& y = in[kY];
  const OperandCheck check("norm", y.dtype);
  check.Float("x", in[kX]);
  check.Float("y", y);
  check.Require(y.rank >= 1, "x must have at least one dimension");
  const auto like_y = [&](const char* name, const Operand& x) {
    if (!x.present) return;
    check.Float(name, x);
    check.Shape(name, x, y);
    check.Rows(name, x);
  };
  like_y("x", in[kX]);
  like_y("residual", in[kResidual]);
  like_y("y", y);
  like_y("sum", in[kSum]);
  check.Output("y", y);
  if (in[kSum]) check.Output("sum", in[kSum]);
  Operand rows = y;
  --rows.rank;
  for (const auto& [name, x] : {std::pair{"weight", &in[kWeight]}, {"bias", &in[kBias]}}) {
    if (!x->present) continue;
    check.Float(name, *x);
    check.Vector(name, *x, y.Columns());
  }
  for (const auto& [name, x] : {std::pair{"mean", &in[kMean]}, {"rstd", &in[kRstd]}}) {
    if (!x->present) continue;
    check.Float(name, *x);
    check.Shape(name, *x, rows);
    check.Contiguous(name, *x);
  }
}

void RunNorm(const Instruction& in, Context& context) {
  const RowPointers<> x(in[kX]), residual(in[kResidual]), y(in[kY]), sum(in[kSum]);
  const float *weight = in[kWeight] ? in[kWeight].As<float>() : nullptr,
              *bias = in[kBias] ? in[kBias].As<float>() : nullptr;
  float *mean = in[kMean] ? in[kMean].As<float>() : nullptr,
        *rstd = in[kRstd] ? in[kRstd].As<float>() : nullptr;
  const int64_t n = in[kY].Columns(), rows = RowCount(in[kY]);
  const float epsilon = static_cast<float>(in.attributes[0]);
  const bool center = in.attributes[1] != 0;
  ForChunks(context, rows, n, [&](int64_t begin, int64_t end) {
    float unused[2][kNormRows];
    for (int64_t i = begin; i < end;) {
      NormRow together[kNormRows];
      int count = 0;
      for (; count < kNormRows && i < end; ++count, ++i) {
        together[count] = {x[i],
                           residual[i],
                           sum[i],
                           y[i],
                           mean ? mean + i : unused[0] + count,
                           rstd ? rstd + i : unused[1] + count};
      }
      context.kernels.rows.norm(together, count, weight, bias, n, epsilon, center);
    }
  });
}

void ReferenceNorm(const Instruction& in) {
  const auto view = [&](int i) { return ReferenceView<double>(in[static_cast<size_t>(i)]); };
  reference::Norm(view(kX), view(kResidual), view(kWeight), view(kBias), view(kY), view(kSum), view(kMean),
                  view(kRstd), in.attributes[0], in.attributes[1] != 0);
}

}  // namespace

const OpInfo kNormOp = {"norm", 4, 4, 2, CheckNorm, NoWorkspace, RunNorm, ReferenceNorm};

}  // namespace heedful
