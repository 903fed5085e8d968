// The loops around the micro-kernel, after Goto & van de Geijn 2008 ("Anatomy of high-performance matrix
// multiplication"), with these departures:
//   A is read in place: it is broadcast element by element, so packing it gains nothing unless its rows fall
//   into the same cache sets. Panels of B are packed just before their first use and stay in the second-level
//   cache. Where that packs less, Cᵀ = Bᵀ·Aᵀ is computed, into a scratch block that is transposed into C: a
//   weight matrix stored (n, k), the usual layout, is then never packed for a small m.
#include "ops/gemm.h"

#include <algorithm>

namespace heedful {
namespace {

constexpr int64_t kPanelFloats =
    96 * 1024;  // packed B of one worker, about a third of the second-level cache
constexpr int64_t kBlockFloats = 64 * 1024;  // A copied to padded rows, and as much again for a transposed C
constexpr int64_t kGemvRows = 8;             // up to here dot products beat packing
constexpr int64_t kRowPadding = 16;          // a cache line: consecutive rows fall into consecutive sets
constexpr int64_t kDepthStep = 16;  // blocks of k begin at multiples, so that packing moves whole vectors

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t RoundUp(int64_t a, int64_t b) { return CeilDiv(a, b) * b; }
// Where part `index` of `parts` even ones of [0, n) begins.
int64_t PartBegin(int64_t n, int64_t parts, int64_t index) { return n * index / parts; }

// Rows whose starts are this far apart compete for a few sets of a first-level cache of 4096 bytes per way.
bool Thrashes(int64_t row_stride) {
  const int64_t offset = row_stride & 1023;
  return row_stride >= 512 && (offset < kRowPadding || offset > 1024 - kRowPadding);
}

// The product as the micro-kernel sees it: rows are those of A, or of Bᵀ when `transposed`; columns those of
// B or Aᵀ.
struct View {
  const float *rows, *columns;
  int64_t row_stride, row_k, column_stride, column_k;
};

View MakeView(const Gemm& g, bool transposed) {
  if (transposed) return {g.b, g.a, g.b_column, g.b_k, g.a_row, g.a_k};
  return {g.a, g.b, g.a_row, g.a_k, g.b_column, g.b_k};
}

bool CopiesRows(const View& v, int64_t rows) {
  return rows > 4 && Thrashes(v.row_k == 1 ? v.row_stride : v.row_k);
}

struct Plan {
  bool transposed, in_place, copy_rows;
  int64_t rows, columns;        // of the view
  int64_t depth, depth_blocks;  // a block of k, and how many
  int64_t groups, row_parts;    // items: groups of panels × parts of the rows
};

struct Planner {
  const Gemm& g;
  const KernelTable& table;
  int64_t count, threads;
  const GemmKernels& kernels = table.gemm;

  // Time in multiply-adds, for the choices below. Packing one element of B costs as much as this many rows.
  static constexpr double kTransposeCost = 5, kCopyCost = 2.5;
  static constexpr double kItemCost = 20e3, kForkCost = 100e3;

  double PackCost(const View& v, int64_t rows) const {
    if (v.column_stride != 1) return kTransposeCost;
    return rows <= 2 * kernels.mr ? 0 : kCopyCost;
  }

  int64_t LargestGroup(int64_t columns, int64_t depth) const {
    return std::clamp<int64_t>(kPanelFloats / (depth * kernels.nr), 1, CeilDiv(columns, kernels.nr));
  }

  double Cost(bool transposed, double pack) const {
    const int64_t rows = transposed ? g.n : g.m, columns = transposed ? g.m : g.n;
    double cost =
        static_cast<double>(rows) * RoundUp(columns, table.vector_width) * g.k + pack * columns * g.k;
    if (CopiesRows(MakeView(g, transposed), rows)) {
      const int64_t group = LargestGroup(columns, std::clamp<int64_t>(g.k, 1, kernels.kc));
      cost += kCopyCost * rows * g.k * CeilDiv(columns, group * kernels.nr);
    }
    if (transposed) cost += 2 * kTransposeCost * rows * columns;
    return cost;
  }

  Plan Make() const {
    Plan p = {};
    const View straight = MakeView(g, false), turned = MakeView(g, true);
    const double straight_pack = PackCost(straight, g.m);
    const double turned_pack = PackCost(turned, g.n);
    p.transposed = Cost(true, turned_pack) < Cost(false, straight_pack);
    const View& v = p.transposed ? turned : straight;
    const double pack = p.transposed ? turned_pack : straight_pack;
    p.rows = p.transposed ? g.n : g.m;
    p.columns = p.transposed ? g.m : g.n;
    p.in_place = pack == 0;
    p.copy_rows = CopiesRows(v, p.rows);
    p.depth_blocks = std::max<int64_t>(1, CeilDiv(g.k, kernels.kc));
    p.depth = std::max<int64_t>(1, RoundUp(CeilDiv(g.k, p.depth_blocks), kDepthStep));
    p.depth_blocks = std::max<int64_t>(1, CeilDiv(g.k, p.depth));
    Split(p, pack);
    return p;
  }

  // Fewest seconds on the busiest worker, if each takes items as it gets free.
  void Split(Plan& p, double pack) const {
    const int64_t panels = CeilDiv(p.columns, kernels.nr);
    const int64_t largest = LargestGroup(p.columns, p.depth);
    const int64_t fewest = CeilDiv(panels, largest);
    int64_t row_parts = 1;
    if (p.transposed) {  // the scratch block holds all rows of an item
      row_parts = CeilDiv(p.rows, kBlockFloats / (std::min(largest, CeilDiv(panels, fewest)) * kernels.nr));
    }
    p.groups = fewest;
    p.row_parts = row_parts;
    if (threads == 1) return;
    double best = -1;
    for (int64_t size = CeilDiv(panels, fewest); size >= 1; --size) {
      const int64_t groups = CeilDiv(panels, size);
      for (int64_t parts = row_parts; parts <= std::max(row_parts, p.rows / kernels.mr);
           parts += std::max<int64_t>(1, parts / 2)) {
        const int64_t items = count * groups * parts;
        const double columns = static_cast<double>(std::min(p.columns, size * kernels.nr));
        const double rows = static_cast<double>(CeilDiv(p.rows, parts));
        const double item =
            ((rows + pack) * columns + (p.copy_rows ? kCopyCost * rows : 0)) * g.k + kItemCost;
        const double cost = CeilDiv(items, threads) * item + 0.1 * item + (items > 1 ? kForkCost : 0);
        if (best < 0 || cost < best) {
          best = cost;
          p.groups = groups;
          p.row_parts = parts;
        }
        if (items >= 8 * threads) break;
      }
      if (count * groups * row_parts >= 8 * threads) break;
    }
  }
};

// Epilogue of rows × columns of C from (i, j).
void FinishBlock(const Gemm& g, const GemmKernels& kernels, int64_t i, int64_t j, int64_t rows,
                 int64_t columns) {
  GemmEpilogue e = g.epilogue;
  if (e.function == Unary::identity && !e.bias && !e.pre_activation) return;
  if (e.bias) e.bias += j;
  if (e.aux) e.aux += i * e.aux_row + j;
  if (e.pre_activation) e.pre_activation += i * e.pre_activation_row + j;
  kernels.epilogue(e, g.c + i * g.c_row + j, g.c_row, static_cast<int>(rows), static_cast<int>(columns));
}

// Workspace of one worker.
struct Scratch {
  float *panels, *rows, *block;
};

// One item: rows [row0, row1) × panels [panel0, panel1).
class Item {
 public:
  Item(const Gemm& g, const Plan& plan, const KernelTable& table, Scratch scratch)
      : g_(g),
        plan_(plan),
        vector_width_(table.vector_width),
        kernels_(table.gemm),
        scratch_(scratch),
        view_(MakeView(g, plan.transposed)) {}

  void Run(int64_t row0, int64_t row1, int64_t panel0, int64_t panel1) {
    const int64_t nr = kernels_.nr,
                  block_rows = std::max<int64_t>(kernels_.mr, kBlockFloats / (plan_.depth + kRowPadding));
    const int64_t blocks = CeilDiv(row1 - row0, block_rows);
    item_row0_ = row0;
    column0_ = panel0 * nr;
    columns_ = std::min(plan_.columns, panel1 * nr) - column0_;
    for (int64_t d = 0; d < plan_.depth_blocks; ++d) {
      k0_ = d * plan_.depth;
      depth_ = std::min(g_.k, k0_ + plan_.depth) - k0_;
      first_ = d == 0;
      last_ = d == plan_.depth_blocks - 1;
      if (view_.column_stride == 1) PackRows();
      for (int64_t r = 0; r < blocks; ++r) {
        const int64_t begin = row0 + PartBegin(row1 - row0, blocks, r);
        const int64_t end = row0 + PartBegin(row1 - row0, blocks, r + 1);
        SetRows(begin, end);
        for (int64_t j = 0; j < columns_; j += nr) Panel(begin, end, j, r == 0);
        if (plan_.transposed && last_) FinishTransposed(begin, end);
      }
    }
  }

 private:
  // Where the rows of this block are read.
  void SetRows(int64_t begin, int64_t end) {
    tile_.k = depth_;
    tile_.accumulate = !first_;
    const float* source = view_.rows + begin * view_.row_stride + k0_ * view_.row_k;
    if (!plan_.copy_rows) {
      tile_.a_row = view_.row_stride;
      tile_.a_k = view_.row_k;
      rows_ = source;
      return;
    }
    const bool by_rows = view_.row_k == 1;
    const int64_t outer = by_rows ? end - begin : depth_, inner = by_rows ? depth_ : end - begin;
    const int64_t stride = by_rows ? view_.row_stride : view_.row_k;
    const int64_t padded = by_rows ? plan_.depth + kRowPadding : inner;
    for (int64_t i = 0; i < outer; ++i) {
      std::copy_n(source + i * stride, inner, scratch_.rows + i * padded);
    }
    tile_.a_row = by_rows ? padded : 1;
    tile_.a_k = by_rows ? 1 : padded;
    rows_ = scratch_.rows;
  }

  bool ReadsInPlace(int columns) const { return plan_.in_place && columns % vector_width_ == 0; }

  // All panels of a row-major B, a few rows at a time: long runs of memory.
  void PackRows() {
    const int64_t nr = kernels_.nr;
    const float* source = view_.columns + column0_ + k0_ * view_.column_k;
    for (int64_t k = 0; k < depth_; k += kDepthStep) {
      for (int64_t j = 0; j < columns_; j += nr) {
        const int columns = static_cast<int>(std::min(nr, columns_ - j));
        if (ReadsInPlace(columns)) continue;
        kernels_.pack_rows(source + k * view_.column_k + j, view_.column_k, std::min(kDepthStep, depth_ - k),
                           columns, scratch_.panels + j * plan_.depth + k * nr);
      }
    }
  }

  // Points the tile at columns [j, j + columns) of the item.
  void SetColumns(int64_t j, int columns, bool pack) {
    const int64_t nr = kernels_.nr;
    const float* source = view_.columns + (column0_ + j) * view_.column_stride + k0_ * view_.column_k;
    if (ReadsInPlace(columns)) {
      tile_.b = source;
      tile_.b_row = view_.column_k;
      return;
    }
    float* panel = scratch_.panels + j * plan_.depth;
    if (pack && view_.column_stride != 1)
      kernels_.pack_columns(source, view_.column_stride, depth_, columns, panel);
    tile_.b = panel;
    tile_.b_row = nr;
  }

  void Panel(int64_t begin, int64_t end, int64_t j, bool pack) {
    const int columns = static_cast<int>(std::min<int64_t>(kernels_.nr, columns_ - j));
    SetColumns(j, columns, pack);
    tile_.columns = columns;
    tile_.c_row = plan_.transposed ? columns_ : g_.c_row;
    float* c = plan_.transposed ? scratch_.block + (begin - item_row0_) * columns_ + j
                                : g_.c + begin * g_.c_row + column0_ + j;
    const int64_t rows = end - begin, tiles = CeilDiv(rows, kernels_.mr);
    for (int64_t t = 0, i = 0; t < tiles; ++t) {
      const int64_t next = PartBegin(rows, tiles, t + 1);
      tile_.rows = static_cast<int>(next - i);
      tile_.a = rows_ + i * tile_.a_row;
      tile_.c = c + i * tile_.c_row;
      kernels_.tile(tile_);
      if (last_ && !plan_.transposed) FinishBlock(g_, kernels_, begin + i, column0_ + j, tile_.rows, columns);
      i = next;
    }
  }

  // Rows [begin, end) of the scratch block are columns of C.
  void FinishTransposed(int64_t begin, int64_t end) {
    const float* block = scratch_.block + (begin - item_row0_) * columns_;
    kernels_.transpose(block, columns_, g_.c + column0_ * g_.c_row + begin, g_.c_row, end - begin, columns_);
    FinishBlock(g_, kernels_, column0_, begin, columns_, end - begin);
  }

  const Gemm& g_;
  const Plan& plan_;
  const int vector_width_;
  const GemmKernels& kernels_;
  const Scratch scratch_;
  const View view_;
  GemmTile tile_ = {};
  const float* rows_ = nullptr;
  int64_t item_row0_ = 0, column0_ = 0, columns_ = 0, k0_ = 0, depth_ = 0;
  bool first_ = false, last_ = false;
};

// Floats of each part of a worker's scratch, in whole cache lines.
int64_t PanelFloats(int64_t m, int64_t n, int64_t k) {
  return std::min(kPanelFloats, (std::max(m, n) + 64) * RoundUp(k + 1, kDepthStep));
}
int64_t RowFloats(int64_t m, int64_t n, int64_t k) {
  return std::min(kBlockFloats, (std::max(m, n) + 64) * RoundUp(k + 1 + kRowPadding, kDepthStep));
}
int64_t BlockFloats(int64_t m, int64_t n) { return std::min(kBlockFloats, RoundUp((m + 64) * (n + 64), 16)); }

bool UsesGemv(const Gemm& g) { return g.m <= kGemvRows && g.a_k == 1 && g.b_k == 1; }

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
  if (UsesGemv(gemm)) return RunGemv(gemm, context);
  const GemmKernels& kernels = context.kernels.gemm;
  const Plan plan = Planner{gemm, context.kernels, count, context.threads()}.Make();
  const int64_t panel_floats = PanelFloats(gemm.m, gemm.n, gemm.k),
                row_floats = RowFloats(gemm.m, gemm.n, gemm.k);
  const int64_t worker_floats = panel_floats + row_floats + BlockFloats(gemm.m, gemm.n);
  const int64_t panels = CeilDiv(plan.columns, kernels.nr), items = plan.groups * plan.row_parts;
  context.Parallel(count * items, [&](int64_t index, int worker) {
    const Gemm g = gemm.At(index / items);
    const int64_t group = index % items % plan.groups, part = index % items / plan.groups;
    float* scratch = reinterpret_cast<float*>(context.workspace) + worker * worker_floats;
    Item(g, plan, context.kernels, {scratch, scratch + panel_floats, scratch + panel_floats + row_floats})
        .Run(PartBegin(plan.rows, plan.row_parts, part), PartBegin(plan.rows, plan.row_parts, part + 1),
             PartBegin(panels, plan.groups, group), PartBegin(panels, plan.groups, group + 1));
  });
}

}  // namespace heedful
