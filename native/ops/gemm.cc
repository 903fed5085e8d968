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

using GemvKernel = decltype(GemmKernels::gemv);

// For a few rows by a B that was not packed; nullptr: tiles are faster.
GemvKernel ChooseGemv(const Gemm& g, const GemmKernels& kernels) {
  if (g.format || g.bf16 || g.a_k != 1) return nullptr;
  if (g.b_k == 1) return g.m <= kernels.gemv_rows ? kernels.gemv : nullptr;
  return g.m <= kernels.gemv_row_major_rows ? kernels.gemv_row_major : nullptr;
}

// Columns of B that are worked on together, each read once for all rows.
int64_t GemvColumns(const Gemm& g, int threads) {
  constexpr int64_t kSmallest = 8 * 1024;  // floats of B: worth a fork
  const int64_t k = std::max<int64_t>(g.k, 1), smallest = CeilDiv(kSmallest, k);
  const int64_t even = CeilDiv(g.n, 4 * threads);
  if (g.b_k == 1) {
    constexpr int64_t kLargest = 64 * 1024;  // floats of B: stays in the cache for the next rows
    return RoundUp(std::clamp(even, smallest, std::max(smallest, kLargest / k)), 16);
  }
  // Long runs of the rows of B, but C stays in the first-level cache.
  constexpr int64_t kRun = 512, kResults = 8 * 1024;
  const int64_t run = threads == 1 ? g.n : std::max(even, std::min(kRun, CeilDiv(g.n, threads)));
  return RoundUp(std::min(std::max(run, smallest), kResults / g.m), 16);
}

void RunGemv(GemvKernel kernel, const Gemm& first, Context& context) {
  const int64_t columns = GemvColumns(first, context.threads()), chunks = CeilDiv(first.n, columns);
  context.Parallel(first.BatchSize() * chunks, [&](int64_t index, int) {
    const Gemm g = first.At(index / chunks);
    const int64_t begin = index % chunks * columns, count = std::min(g.n, begin + columns) - begin;
    kernel(g.b + begin * g.b_column, g.b_k == 1 ? g.b_column : g.b_k, g.a, g.a_row, g.c + begin, g.c_row, g.m,
           count, g.k);
    FinishBlock(g, context.kernels.gemm, 0, begin, g.m, count);
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
  if (const GemvKernel gemv = ChooseGemv(gemm, context.kernels.gemm)) return RunGemv(gemv, gemm, context);
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
