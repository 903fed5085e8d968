#include "ops/gemm.h"

#include <algorithm>

#include "ops/gemm_item.h"

namespace heedful {
namespace {

// Floats of each part of a worker's scratch, in whole cache lines.
int64_t PanelFloats(int64_t m, int64_t n, int64_t k) {
  return std::min(kPanelFloats, (std::max(m, n) + 64) * RoundUp(k + 1, kDepthStep));
}
int64_t RowFloats(int64_t m, int64_t n, int64_t k) {
  return std::min(kBlockFloats,
                  (std::max(m, n) + 64) * RoundUp(k + kBlockElements + kRowPadding, kDepthStep));
}
int64_t BlockFloats(int64_t m, int64_t n) { return std::min(kBlockFloats, RoundUp((m + 64) * (n + 64), 16)); }

bool UsesGemv(const Gemm& g, const GemmKernels& kernels) {
  return !g.format && !g.bf16 && g.m <= kernels.gemv_rows && g.a_k == 1 && g.b_k == 1;
}

// A few rows times a transposed B: chunks of B's columns, each read once for all rows.
void RunGemv(const Gemm& first, Context& context) {
  const GemmKernels& kernels = context.kernels.gemm;
  constexpr int64_t kSmallest = 8 * 1024, kLargest = 64 * 1024;  // floats of B: worth a fork, stays in cache
  const int64_t even = CeilDiv(first.n * std::max<int64_t>(first.k, 1), 4 * context.threads());
  const int64_t chunk =
      RoundUp(CeilDiv(std::clamp(even, kSmallest, kLargest), std::max<int64_t>(first.k, 1)), 16);
  const int64_t chunks = CeilDiv(first.n, chunk);
  context.Parallel(first.BatchSize() * chunks, [&](int64_t index, int) {
    const Gemm g = first.At(index / chunks);
    const int64_t begin = index % chunks * chunk, columns = std::min(g.n, begin + chunk) - begin;
    kernels.gemv(g.b + begin * g.b_column, g.b_column, g.a, g.a_row, g.c + begin, g.c_row, g.m, columns, g.k);
    FinishBlock(g, kernels, 0, begin, g.m, columns);
  });
}

}  // namespace

size_t GemmWorkspace(int64_t m, int64_t n, int64_t k, int threads) {
  return static_cast<size_t>(threads) * sizeof(float) *
         (PanelFloats(m, n, k) + RowFloats(m, n, k) + BlockFloats(m, n));
}

int64_t Gemm::BatchSize() const {
  int64_t size = 1;
  for (const BatchDim& dim : batch) size *= dim.size;
  return size;
}

Gemm Gemm::At(int64_t index) const {
  Gemm g = *this;
  for (int d = kGemmBatchRank - 1; d >= 0; --d) {
    const BatchDim& dim = batch[d];
    if (dim.size == 1) continue;
    const int64_t i = index % dim.size;
    index /= dim.size;
    g.a += i * dim.a;
    g.b += i * dim.b;
    g.c += i * dim.c;
    if (g.epilogue.aux) g.epilogue.aux += i * dim.aux;
    if (g.epilogue.pre_activation) g.epilogue.pre_activation += i * dim.pre_activation;
  }
  return g;
}

void RunGemm(const Gemm& gemm, Context& context) {
  const int64_t count = gemm.BatchSize();
  if (count == 0 || gemm.m == 0 || gemm.n == 0) return;
  const GemmKernels& kernels = context.kernels.gemm;
  if (UsesGemv(gemm, kernels)) return RunGemv(gemm, context);
  const GemmPlan plan = PlanGemm(gemm, context.kernels, count, context.threads());
  const int64_t panel_floats = PanelFloats(gemm.m, gemm.n, gemm.k),
                row_floats = RowFloats(gemm.m, gemm.n, gemm.k);
  const int64_t worker_floats = panel_floats + row_floats + BlockFloats(gemm.m, gemm.n);
  const int64_t items = plan.column_parts * plan.row_parts;
  const GemmRange panels = {0, CeilDiv(plan.columns, plan.panel)}, rows = {0, plan.rows};
  context.Parallel(count * items, [&](int64_t index, int worker) {
    const Gemm g = gemm.At(index / items);
    const int64_t item = index % items;
    const GemmRange part = panels.Part(plan.column_parts, item % plan.column_parts);
    float* scratch = reinterpret_cast<float*>(context.workspace) + worker * worker_floats;
    GemmItem(g, plan, context.kernels, {scratch, scratch + panel_floats, scratch + panel_floats + row_floats},
             rows.Part(plan.row_parts, item / plan.column_parts),
             {part.begin * plan.panel, std::min(plan.columns, part.end * plan.panel)})
        .Run();
  });
}

}  // namespace heedful
