#include "ops/gemm_plan.h"

#include <algorithm>

namespace heedful {
namespace {

// Time in multiply-adds of a row. Packing one element of B costs as much as this many rows.
constexpr double kTransposeCost = 5, kCopyCost = 2.5;
constexpr double kItemCost = 20e3, kForkCost = 100e3;

// Rows whose starts are this far apart compete for a few sets of a first-level cache of 4096 bytes per way.
bool Thrashes(int64_t row_stride) {
  const int64_t offset = row_stride & 1023;
  return row_stride >= 512 && (offset < kRowPadding || offset > 1024 - kRowPadding);
}

struct Planner {
  const Gemm& g;
  const KernelTable& table;
  int64_t count, threads;
  const GemmKernels& kernels = table.gemm;
  const PanelKernels* packed = g.format ? &kernels.panels[static_cast<int>(*g.format)] : nullptr;
  const int64_t elements = g.format ? LayoutOf(*g.format).elements : g.bf16 ? kernels.bf16.elements : 1;
  const int64_t steps = CeilDiv(g.k, elements), row_floats = packed ? packed->row_floats : 1;

  // A set of a cache that thrashes holds 8 lines: enough for a tile of few rows.
  bool CopiesRows(bool transposed) const {
    // Converted, or filled up to whole words.
    if (g.bf16) return true;
    if (packed && (packed->convert || g.k % elements)) return true;
    const GemmView v = MakeGemmView(g, transposed);
    const int64_t rows = transposed ? g.n : g.m;
    if (v.row_k == 1) return std::min<int64_t>(rows, kernels.mr) > 8 && Thrashes(v.row_stride);
    return rows > kernels.mr && Thrashes(v.row_k);
  }

  double PackCost(bool transposed) const {
    if (packed) return 0;
    if (MakeGemmView(g, transposed).column_stride != 1) return kTransposeCost;
    return !g.bf16 && (transposed ? g.n : g.m) <= kernels.in_place_rows ? 0 : kCopyCost;
  }

  // Copying the rows, or reading a few of them at every k where they lie side by side.
  double RowsCost(bool transposed, int64_t rows, int64_t columns) const {
    if (!CopiesRows(transposed)) return MakeGemmView(g, transposed).row_k == 1 ? 0 : kCopyCost * rows * g.k;
    const bool once = RowBlocks(rows, Depth() * row_floats) == 1;
    return kCopyCost * rows * g.k * (once ? 1 : CeilDiv(columns, Group(Depth()) * kernels.nr));
  }

  double Cost(bool transposed) const {
    const int64_t rows = transposed ? g.n : g.m, columns = transposed ? g.m : g.n;
    return static_cast<double>(rows) * RoundUp(columns, table.vector_width) * g.k +
           PackCost(transposed) * columns * g.k + RowsCost(transposed, rows, columns) +
           (transposed ? 2 * kTransposeCost * rows * columns : 0);
  }

  int64_t Depth() const {
    // What a gate multiplies by has no place to wait for the rest of k.
    if (g.gate.b || (g.format && LayoutOf(*g.format).tail)) return std::max<int64_t>(1, steps);
    const int64_t floats = steps * row_floats, blocks = std::max<int64_t>(1, CeilDiv(floats, kernels.kc));
    return std::max<int64_t>(1, RoundUp(CeilDiv(floats, blocks), kDepthStep) / row_floats);
  }

  int64_t Group(int64_t depth) const { return std::max<int64_t>(1, kPanelFloats / (depth * kernels.nr)); }

  GemmPlan Make() const {
    GemmPlan p = {};
    // The scratch block of a transposed C holds at least one row of it, whatever the number of parts.
    p.transposed = !packed && g.m <= kBlockFloats && Cost(true) < Cost(false);
    p.rows = p.transposed ? g.n : g.m;
    p.columns = p.transposed ? g.m : g.n;
    const double pack = PackCost(p.transposed);
    p.in_place = pack == 0;
    p.copy_rows = CopiesRows(p.transposed);
    p.steps = steps;
    p.elements = elements;
    p.row_floats = row_floats;
    p.panel_words = g.format ? PanelWords(*g.format, g.k) : 0;
    p.lines = g.format ? LayoutOf(*g.format).lines : 1;
    p.depth = Depth();
    p.depth_blocks = std::max<int64_t>(1, CeilDiv(steps, p.depth));
    p.panel = packed ? kPanelColumns : kernels.nr;
    p.stream = packed && g.m <= kStreamRows && g.m * (steps * row_floats + kRowPadding) <= kBlockFloats;
    p.mr = p.stream ? packed->panel_rows : packed ? packed->mr : kernels.mr;
    p.nr = p.stream ? kPanelColumns : kernels.nr;
    p.group = p.in_place ? 1 : Group(p.depth);
    p.columns_at_once = !g.gate.b   ? std::max<int64_t>(1, p.columns)
                        : !p.stream ? p.panel
                                    : kBlockFloats / g.m / kPanelColumns * kPanelColumns;
    Split(p, pack);
    return p;
  }

  // Fewest seconds on the busiest worker, if each takes items as it gets free.
  void Split(GemmPlan& p, double pack) const {
    const int64_t panels = CeilDiv(p.columns, p.panel), most = 8 * threads;
    double best = -1;
    for (int64_t column_parts = 1; column_parts <= std::min(panels, most); ++column_parts) {
      const int64_t columns = std::min(p.columns, CeilDiv(panels, column_parts) * p.panel);
      // The scratch block of a transposed C holds all rows of an item; rows for a packed B are copied once.
      // One that waits for its gate has all rows of an item and columns_at_once.
      const int64_t block = p.transposed ? columns : g.gate.b ? p.columns_at_once : 0;
      const int64_t turned = block ? CeilDiv(p.rows, std::max<int64_t>(1, kBlockFloats / block)) : 1;
      const int64_t fewest = (packed || g.bf16) && p.copy_rows
                                 ? std::max(turned, RowBlocks(p.rows, p.depth * row_floats))
                                 : turned;
      for (int64_t row_parts = fewest; row_parts <= std::max(fewest, p.rows / kernels.mr);
           row_parts += std::max<int64_t>(1, row_parts / 2)) {
        const int64_t items = count * column_parts * row_parts;
        const double rows = static_cast<double>(CeilDiv(p.rows, row_parts));
        const double item =
            ((rows + pack) * columns + (p.copy_rows ? kCopyCost * rows : 0)) * g.k + kItemCost;
        const double waiting = threads > 1 ? 0.1 * item + (items > 1 ? kForkCost : 0) : 0;
        const double cost = CeilDiv(items, threads) * item + waiting;
        if (best < 0 || cost < best) {
          best = cost;
          p.column_parts = column_parts;
          p.row_parts = row_parts;
        }
        if (items >= most) break;
      }
    }
  }
};

}  // namespace

GemmView MakeGemmView(const Gemm& g, bool transposed) {
  if (g.format) return {g.a, g.b, g.a_row, 1, 1, LayoutOf(*g.format).words};
  if (transposed) return {g.b, g.a, g.b_column, g.b_k, g.a_row, g.a_k};
  return {g.a, g.b, g.a_row, g.a_k, g.b_column, g.b_k};
}

int64_t RowBlocks(int64_t rows, int64_t floats) {
  return CeilDiv(rows, std::max<int64_t>(1, kBlockFloats / (floats + kRowPadding)));
}

GemmPlan PlanGemm(const Gemm& g, const KernelTable& table, int64_t count, int threads) {
  return Planner{g, table, count, threads}.Make();
}

}  // namespace heedful
