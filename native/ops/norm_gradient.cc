// normGradient: with g = dy ⊙ weight and x̂ = (x − mean) · rstd,
//   dx = rstd · (g − [mean(g)] − x̂ · mean(g ⊙ x̂)) + gradResidual,  dWeight = Σ_rows dy ⊙ x̂,  dBias = Σ_rows
//   dy,
// [mean(g)] with center = 1. x is the sum that was normalized.
//
// dy, x, gradResidual, dx […, n]; weight, dWeight, dBias [n]; mean, rstd […]; all f32 or all f64. mean
// absent: 0. Layouts: dy, x, gradResidual, dx: the last dimension contiguous, the others arbitrary; the rest
// contiguous. dx may be dy, x or gradResidual, with the same data and strides; otherwise no output overlaps
// anything. Accuracy: dWeight and dBias are summed over at most 64 chunks of rows, and the chunks in order.
#include <cstring>

#include "kernels/reference/norm.h"
#include "ops/chunks.h"
#include "ops/op_list.h"
#include "ops/operands.h"
#include "ops/rows.h"

namespace heedful {
namespace {

enum { kDy, kX, kWeight, kMean, kRstd, kGradResidual, kDx, kDWeight, kDBias };

constexpr int64_t kMaxChunks = 64;

void Check(const Instruction& in) {
  const Operand& dx = in[kDx];
  const OperandCheck check("normGradient", dx.dtype);
  check.Float("dx", dx);
  check.Require(dx.rank >= 1, "x must have at least one dimension");
  check.Output("dx", dx);
  check.Float("dy", in[kDy]);
  check.Float("x", in[kX]);
  check.Float("rstd", in[kRstd]);
  for (const auto& [name, x] :
       {std::pair{"dy", &in[kDy]}, {"x", &in[kX]}, {"gradResidual", &in[kGradResidual]}, {"dx", &dx}}) {
    if (!x->present) continue;
    check.Float(name, *x);
    check.Shape(name, *x, dx);
    check.Rows(name, *x);
  }
  for (const auto& [name, x] :
       {std::pair{"weight", &in[kWeight]}, {"dWeight", &in[kDWeight]}, {"dBias", &in[kDBias]}}) {
    if (!x->present) continue;
    check.Float(name, *x);
    check.Vector(name, *x, dx.Columns());
  }
  Operand rows = dx;
  --rows.rank;
  for (const auto& [name, x] : {std::pair{"mean", &in[kMean]}, {"rstd", &in[kRstd]}}) {
    if (!x->present) continue;
    check.Float(name, *x);
    check.Shape(name, *x, rows);
    check.Contiguous(name, *x);
  }
}

int64_t RowsOfGrain(int64_t n) { return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, n)); }

// Partial sums of dWeight and dBias, [chunks][dWeight, dBias][n].
size_t Workspace(const Instruction& in, int) {
  if (!in[kDWeight] && !in[kDBias]) return 0;
  const int64_t n = in[kDx].Columns();
  const int64_t chunks = std::min(kMaxChunks, CeilDiv(in[kDx].Rows(), RowsOfGrain(n)));
  return sizeof(float) * static_cast<size_t>(2 * chunks * n);
}

void Run(const Instruction& in, Context& context) {
  const RowPointers<> dy(in[kDy]), x(in[kX]), residual(in[kGradResidual]), dx(in[kDx]);
  const float *weight = in[kWeight] ? in[kWeight].As<float>() : nullptr,
              *mean = in[kMean] ? in[kMean].As<float>() : nullptr, *rstd = in[kRstd].As<float>();
  float *d_weight = in[kDWeight] ? in[kDWeight].As<float>() : nullptr,
        *d_bias = in[kDBias] ? in[kDBias].As<float>() : nullptr;
  const int64_t n = in[kDx].Columns(), rows = in[kDx].Rows();
  const bool center = in.attributes[0] != 0, sums = d_weight || d_bias;
  const int64_t size = sums ? std::max(RowsOfGrain(n), CeilDiv(rows, kMaxChunks)) : RowsOfGrain(n);
  const int64_t chunks = CeilDiv(rows, size);
  float* partial = reinterpret_cast<float*>(context.workspace);
  ForTasks(context, chunks, rows * n, [&](int64_t chunk) {
    float *chunk_weight = d_weight ? partial + 2 * chunk * n : nullptr,
          *chunk_bias = d_bias ? partial + (2 * chunk + 1) * n : nullptr;
    if (sums) std::fill_n(partial + 2 * chunk * n, 2 * n, 0.0f);
    for (int64_t i = chunk * size; i < std::min(rows, (chunk + 1) * size); ++i) {
      context.kernels.rows.norm_gradient(dy[i], x[i], weight, mean ? mean[i] : 0.0f, rstd[i], residual[i],
                                         dx[i], chunk_weight, chunk_bias, n, center);
    }
  });
  if (!sums) return;
  ForChunks(context, n, 2 * chunks, [&](int64_t begin, int64_t end) {
    const int64_t count = end - begin;
    for (int which = 0; which < 2; ++which) {
      float* sum = which ? d_bias : d_weight;
      if (!sum) continue;
      std::fill_n(sum + begin, count, 0.0f);
      for (int64_t chunk = 0; chunk < chunks; ++chunk) {
        context.kernels.rows.accumulate(partial + (2 * chunk + which) * n + begin, sum + begin, count);
      }
    }
  });
}

void Reference(const Instruction& in) {
  const auto view = [&](int i) { return ReferenceView<double>(in[static_cast<size_t>(i)]); };
  reference::NormGradient(view(kDy), view(kX), view(kWeight), view(kMean), view(kRstd), view(kGradResidual),
                          view(kDx), view(kDWeight), view(kDBias), in.attributes[0] != 0);
}

}  // namespace

const OpInfo kNormGradientOp = {"normGradient", 6, 3, 1, Check, Workspace, Run, Reference};

}  // namespace heedful
