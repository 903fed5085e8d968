// The loops around the micro-kernel, after Goto & van de Geijn 2008 ("Anatomy of high-performance matrix
// multiplication"), with these departures:
//   A is read in place: it is broadcast element by element, so packing it gains nothing unless its rows fall
//   into the same cache sets. A few panels of B at a time are packed just before their first use and stay in
//   the second-level cache, while the micro-kernels already ask for the memory that the next ones are packed
//   from. Where that packs less, Cᵀ = Bᵀ·Aᵀ is computed, into a scratch block that is transposed into C: a
//   weight matrix stored (n, k), the usual layout, is then never packed for a small m. A B that was packed
//   before is read in place.
#include <algorithm>
#include <utility>

#include "ops/gemm_plan.h"
#include "ops/gemm_prefetch.h"

namespace heedful {
namespace {

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

struct Range {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
  Range Part(int64_t parts, int64_t index) const {
    return {begin + PartBegin(size(), parts, index), begin + PartBegin(size(), parts, index + 1)};
  }
};

// One item: `rows` × `columns` of the view.
class Item {
 public:
  Item(const Gemm& g, const GemmPlan& plan, const KernelTable& table, Scratch scratch, Range rows,
       Range columns)
      : g_(g),
        plan_(plan),
        vector_width_(table.vector_width),
        kernels_(table.gemm),
        packed_(g.format ? &kernels_.panels[static_cast<int>(*g.format)] : nullptr),
        rounded_(g.bf16 ? &kernels_.bf16 : nullptr),
        tile_kernel_(packed_    ? packed_->tile
                     : rounded_ ? rounded_->tile
                                : kernels_.tile),
        column_elements_(packed_ ? 1 : plan.elements),
        convert_(packed_    ? packed_->convert
                 : rounded_ ? rounded_->convert
                            : nullptr),
        copy_(table.elementwise.unary[static_cast<int>(Unary::identity)]),
        scratch_(scratch),
        view_(MakeGemmView(g, plan.transposed)),
        item_rows_(rows),
        item_columns_(columns),
        blocks_(RowBlocks(rows.size(), plan.depth * plan.row_floats)) {}

  void Run() {
    if (plan_.stream) return Stream();
    tile_.next = &prefetch_;
    columns_ = item_columns_;
    if (packed_ && plan_.copy_rows) first_ = FirstPanel();
    RunColumns();
    if (plan_.transposed) FinishTransposed();
  }

 private:
  // Panel by panel. With very few rows, prefetching would only disturb what the hardware does by itself.
  void Stream() {
    rows_ = item_rows_;
    if (rows_.size() > kUnaskedRows) tile_.next = &prefetch_;
    if (plan_.copy_rows) CopyRows({0, plan_.steps});
    for (int64_t j = item_columns_.begin; j < item_columns_.end; j += plan_.panel) {
      columns_ = {j, std::min(item_columns_.end, j + plan_.panel)};
      RunColumns();
    }
  }

  void RunColumns() {
    const int64_t width = plan_.group * plan_.nr;
    for (int64_t k = 0, d = 0; d < plan_.depth_blocks; ++d, k += plan_.depth) {
      depth_ = {k, std::min(plan_.steps, k + plan_.depth)};
      for (int64_t j = columns_.begin; j < columns_.end; j += width) {
        group_ = {j, std::min(columns_.end, j + width)};
        if (!packed_ && view_.column_stride == 1) PackRows();
        if (tile_.next) PrefetchNext();
        for (int64_t r = 0; r < blocks_; ++r) {
          rows_ = item_rows_.Part(blocks_, r);
          if (blocks_ > 1 || j == columns_.begin) SetRows();
          for (int64_t panel = group_.begin; panel < group_.end; panel += plan_.nr) Panel(panel, r == 0);
        }
      }
    }
  }

  // Elements of k.
  int64_t Terms(Range depth) const {
    return std::min(g_.k, depth.end * plan_.elements) - depth.begin * plan_.elements;
  }

  // Packed: where step k of the panel of column j begins.
  const float* ColumnsAt(int64_t j, int64_t k) const {
    if (packed_) return view_.columns + j / kPanelColumns * plan_.panel_words + k * view_.column_k;
    return view_.columns + j * view_.column_stride + k * column_elements_ * view_.column_k;
  }

  MatrixRegion ColumnsRegion(Range columns, Range depth) const {
    const float* at = ColumnsAt(columns.begin, depth.begin);
    // As large a part of each step as the columns are of the panel.
    const auto part = [&](int64_t count) { return count * view_.column_k / kPanelColumns; };
    if (packed_)
      return {at + part(columns.begin % kPanelColumns), depth.size(), part(columns.size()), view_.column_k};
    const int64_t terms = Terms(depth);
    if (view_.column_stride == 1) return {at, terms, columns.size(), view_.column_k};
    return {at, columns.size(), terms, view_.column_stride};
  }

  const float* RowsAt(int64_t i, int64_t step) const {
    return view_.rows + i * view_.row_stride + step * plan_.elements * view_.row_k;
  }

  MatrixRegion RowsRegion(Range rows, Range depth) const {
    const float* at = RowsAt(rows.begin, depth.begin);
    if (view_.row_k != 1) return {at, Terms(depth), rows.size(), view_.row_k};
    return {at, rows.size(), depth.size() * plan_.elements, view_.row_stride};
  }

  // While the micro-kernels work on this group they ask for what the next one packs and, a share with each
  // group, the rows that the next block of k copies; evenly, step by step.
  void PrefetchNext() {
    const int64_t width = plan_.group * plan_.nr;
    const Range next_depth = {depth_.end, std::min(plan_.steps, depth_.end + plan_.depth)};
    MatrixRegion columns = {}, rows = {};
    if (group_.end < columns_.end) {
      columns = ColumnsRegion({group_.end, std::min(columns_.end, group_.end + width)}, depth_);
    } else if (next_depth.size() > 0) {
      columns = ColumnsRegion({columns_.begin, std::min(columns_.end, columns_.begin + width)}, next_depth);
    } else if (columns_.end < item_columns_.end) {
      columns = ColumnsRegion({columns_.end, std::min(item_columns_.end, columns_.end + width)},
                              {0, std::min(plan_.steps, plan_.depth)});
    }
    if (plan_.copy_rows && blocks_ == 1 && next_depth.size() > 0) {
      const int64_t groups = CeilDiv(columns_.size(), width);
      rows = RowsRegion(item_rows_.Part(groups, (group_.begin - columns_.begin) / width), next_depth);
    }
    const int64_t tiles =
        CeilDiv(group_.size(), plan_.nr) * blocks_ * CeilDiv(CeilDiv(item_rows_.size(), blocks_), plan_.mr);
    const int64_t steps = tiles * depth_.size() * plan_.lines;
    int shift = kLineShift;
    while (shift > kFinestShift && columns.Steps(shift - 1) + rows.Steps(shift - 1) <= steps) --shift;
    prefetch_ = columns.Walk(shift);
    prefetch_then_ = rows.Walk(shift);
  }

  // No tile asks for what the first tiles read: what prepares their rows does.
  GemmPrefetch FirstPanel() const {
    const int64_t j = item_columns_.begin;
    return ColumnsRegion({j, std::min(item_columns_.end, j + plan_.nr)},
                         {0, std::min(plan_.steps, plan_.depth)})
        .Walk(kLineShift);
  }

  // Where the rows of this block are read.
  void SetRows() {
    tile_.k = depth_.size();
    tile_.accumulate = depth_.begin > 0;
    if (!plan_.copy_rows) {
      tile_.a_row = view_.row_stride;
      tile_.a_k = view_.row_k;
      a_ = RowsAt(rows_.begin, depth_.begin);
    } else if (plan_.stream) {
      a_ = scratch_.rows + depth_.begin * plan_.row_floats;
    } else {
      CopyRows(depth_);
      a_ = scratch_.rows;
    }
  }

  // To the scratch, as tiles read them.
  void CopyRows(Range depth) {
    const float* source = RowsAt(rows_.begin, depth.begin);
    const bool by_rows = view_.row_k == 1;
    const int64_t elements = Terms(depth);
    const int64_t outer = by_rows ? rows_.size() : elements, inner = by_rows ? elements : rows_.size();
    const int64_t stride = by_rows ? view_.row_stride : view_.row_k;
    const int64_t floats = depth.size() * plan_.row_floats;
    const int64_t padded = by_rows ? floats + kRowPadding : inner;
    if (rounded_ && !by_rows) {
      rounded_->pack_rows(source, stride, elements, inner, scratch_.rows, inner);
      tile_.a_row = 1;
      tile_.a_k = inner;
      return;
    }
    const int64_t lines = CeilDiv(first_.total, std::max<int64_t>(1, outer));
    for (int64_t i = 0; i < outer; ++i) {
      float* row = scratch_.rows + i * padded;
      Ask(first_, lines);
      if (convert_) {
        convert_(source + i * stride, inner, row);
        continue;
      }
      // Not memcpy: REP MOVSB crawls on some CPUs where both sides lie alike within a page (glibc bug 30994).
      copy_(source + i * stride, row, inner);
      if (by_rows) std::fill(row + inner, row + floats, 0.0f);
    }
    tile_.a_row = by_rows ? padded : 1;
    tile_.a_k = by_rows ? 1 : padded;
  }

  bool ReadsInPlace(int columns) const { return packed_ || (plan_.in_place && columns % vector_width_ == 0); }

  // All panels of the group from a row-major B, a few rows at a time: long runs of memory.
  void PackRows() {
    const int64_t nr = plan_.nr;
    const float* source = ColumnsAt(group_.begin, depth_.begin);
    for (int64_t k = 0; k < depth_.size(); k += kDepthStep) {
      for (int64_t j = 0; j < group_.size(); j += nr) {
        const int columns = static_cast<int>(std::min(nr, group_.size() - j));
        if (ReadsInPlace(columns)) continue;
        const Range part = {depth_.begin + k, depth_.begin + std::min(k + kDepthStep, depth_.size())};
        const float* from = source + k * plan_.elements * view_.column_k + j;
        float* panel = scratch_.panels + j * plan_.depth + k * nr;
        if (rounded_)
          rounded_->pack_rows(from, view_.column_k, Terms(part), columns, panel, nr);
        else
          kernels_.pack_rows(from, view_.column_k, part.size(), columns, panel);
      }
    }
  }

  // Points the tile at columns [j, j + columns).
  void SetColumns(int64_t j, int columns, bool pack) {
    const float* source = ColumnsAt(j, depth_.begin);
    if (ReadsInPlace(columns)) {
      tile_.b = source;
      tile_.b_row = view_.column_k;
      if (packed_) tile_.column = static_cast<int>(j % kPanelColumns);
      return;
    }
    float* panel = scratch_.panels + (j - group_.begin) * plan_.depth;
    if (pack && view_.column_stride != 1) {
      const auto pack_columns = rounded_ ? rounded_->pack_columns : kernels_.pack_columns;
      pack_columns(source, view_.column_stride, Terms(depth_), columns, panel);
    }
    tile_.b = panel;
    tile_.b_row = plan_.nr;
  }

  void Panel(int64_t j, bool pack) {
    const int columns = static_cast<int>(std::min(plan_.nr, group_.end - j));
    SetColumns(j, columns, pack);
    tile_.columns = columns;
    tile_.c_row = plan_.transposed ? item_columns_.size() : g_.c_row;
    float* c = plan_.transposed
                   ? scratch_.block + (rows_.begin - item_rows_.begin) * tile_.c_row + j - item_columns_.begin
                   : g_.c + rows_.begin * g_.c_row + j;
    const int64_t tiles = CeilDiv(rows_.size(), plan_.mr);
    for (int64_t t = 0; t < tiles; ++t) {
      const Range part = Range{0, rows_.size()}.Part(tiles, t);
      tile_.rows = static_cast<int>(part.size());
      tile_.a = a_ + part.begin * tile_.a_row;
      tile_.c = c + part.begin * tile_.c_row;
      if (prefetch_.total <= 0) prefetch_ = std::exchange(prefetch_then_, {});
      tile_kernel_(tile_);
      if (depth_.end == plan_.steps && !plan_.transposed)
        FinishBlock(g_, kernels_, rows_.begin + part.begin, j, tile_.rows, columns);
    }
  }

  // The scratch block is the transpose of a block of C.
  void FinishTransposed() {
    const int64_t i = item_columns_.begin, j = item_rows_.begin;
    const int64_t rows = item_columns_.size(), columns = item_rows_.size();
    kernels_.transpose(scratch_.block, rows, g_.c + i * g_.c_row + j, g_.c_row, columns, rows);
    FinishBlock(g_, kernels_, i, j, rows, columns);
  }

  static constexpr int kFinestShift = 2, kUnaskedRows = 5;

  const Gemm& g_;
  const GemmPlan& plan_;
  const int vector_width_;
  const GemmKernels& kernels_;
  const PanelKernels* const packed_;
  const Bf16Products* const rounded_;
  void (*const tile_kernel_)(const GemmTile&);
  const int64_t column_elements_;  // of k in a step of B as it lies
  void (*const convert_)(const float*, int64_t, float*);
  void (*const copy_)(const float*, float*, int64_t);
  const Scratch scratch_;
  const GemmView view_;
  const Range item_rows_, item_columns_;
  const int64_t blocks_;                                      // of rows
  Range columns_ = {}, depth_ = {}, group_ = {}, rows_ = {};  // depth_: steps
  GemmTile tile_ = {};
  GemmPrefetch prefetch_ = {}, prefetch_then_ = {}, first_ = {};
  const float* a_ = nullptr;
};

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
  const Range panels = {0, CeilDiv(plan.columns, plan.panel)}, rows = {0, plan.rows};
  context.Parallel(count * items, [&](int64_t index, int worker) {
    const Gemm g = gemm.At(index / items);
    const int64_t item = index % items;
    const Range part = panels.Part(plan.column_parts, item % plan.column_parts);
    float* scratch = reinterpret_cast<float*>(context.workspace) + worker * worker_floats;
    Item(g, plan, context.kernels, {scratch, scratch + panel_floats, scratch + panel_floats + row_floats},
         rows.Part(plan.row_parts, item / plan.column_parts),
         {part.begin * plan.panel, std::min(plan.columns, part.end * plan.panel)})
        .Run();
  });
}

}  // namespace heedful
