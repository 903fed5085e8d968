// reduce: y[…, 1, …] = Σ x, Σ x / count, max x or min x over the dimensions that are 1 in y. Of nothing: 0,
// NaN, −∞, ∞; the maximum or minimum of anything with a NaN is NaN.
//
// x, y of one rank, each dimension of y that of x or 1; f32 or f64. Layouts: x and y may have any strides; y
// must not be broadcast and must not overlap x. Accuracy: sums along the innermost dimension by
// kernels/simd/lanes-inl.h, longer ones by adding those in double; sums of rows in blocks of 256 rows, the
// blocks again in single precision.
//
// The dimensions are sorted by the strides of x. If the innermost is reduced, an element of y is the sum of
// "pieces", contiguous stretches of x. If it is kept, x is a stack of rows that are added up, block of
// columns by block of columns. Where there are few results, the pieces or rows are split into a number of
// parts that depends on the shape alone, and the parts are added in order.
#include "kernels/reference/reduce.h"

#include <limits>

#include "ops/op_list.h"
#include "ops/operands.h"
#include "ops/strided_map.h"

namespace heedful {
namespace {

constexpr int64_t kPiece = 65536;     // elements of a piece
constexpr int64_t kMaxPieces = 4096;  // partial results that fit the workspace
constexpr int64_t kColumns = 1024;    // of a block of columns: two accumulators of 4 KiB
constexpr int64_t kRowBlock = 256;
constexpr int64_t kMaxRowTasks = 64;  // partial results of kColumns elements
constexpr int64_t kFewColumnBlocks = 16;

Reduce FunctionOf(const Instruction& in) { return static_cast<Reduce>(in.attributes[0]); }

void Check(const Instruction& in) {
  const Operand &x = in[0], &y = in[1];
  const OperandCheck check("reduce", y.dtype);
  check.Choice("function", in.attributes[0], static_cast<int>(Reduce::kCount));
  check.Float("x", x);
  check.Float("y", y);
  check.Require(x.rank == y.rank, "y must have as many dimensions as x");
  check.Broadcasts("y", y, x);
  check.Output("y", y);
}

// So few elements are never split into parts, and need no workspace.
bool HasPartialResults(const Instruction& in) { return in[0].Size() > kRowBlock; }

// What the shapes say of the loops: kept dimensions and reduced ones, apart.
struct Plan {
  Reduce function;
  // Operand 0: x, 1: y. `kept` and `reduced` are the dimensions of `all` but the innermost.
  LoopNest<2> all, kept, reduced;
  int64_t inner, inner_stride, y_inner_stride;
  bool inner_reduced;
  int64_t count = 1;  // elements of x per element of y

  explicit Plan(const Instruction& in)
      : function(FunctionOf(in)),
        all({&in[0], &in[1]}, LoopOrder::kMemory),
        kept(all.Only([&](int d) { return d + 1 < all.rank && !IsReduced(d); })),
        reduced(all.Only([&](int d) { return d + 1 < all.rank && IsReduced(d); })),
        inner(all.Inner()),
        inner_stride(all.InnerStride(0)),
        y_inner_stride(all.InnerStride(1)),
        inner_reduced(IsReduced(all.rank - 1)) {
    for (int d = 0; d < all.rank; ++d) count *= IsReduced(d) ? all.dims[d] : 1;
  }

  // A kept dimension has more than one element in y, hence a stride.
  bool IsReduced(int d) const { return all.strides[1][d] == 0; }

  double Neutral() const {
    const double infinity = std::numeric_limits<double>::infinity();
    return function == Reduce::maximum ? -infinity : function == Reduce::minimum ? infinity : 0;
  }
  double Merge(double a, double b) const {
    if (function == Reduce::maximum) return a > b || a != a ? a : b;
    if (function == Reduce::minimum) return a < b || a != a ? a : b;
    return a + b;
  }
  float Finish(double value) const {
    return static_cast<float>(function == Reduce::mean ? value / static_cast<double>(count) : value);
  }
};

// Where element `index` of a nest lies.
int64_t OffsetOf(const LoopNest<2>& nest, int operand, int64_t index) {
  int64_t offset = 0;
  nest.ForRuns(index, index + 1,
               [&](const int64_t* offsets, int64_t, int64_t) { offset = offsets[operand]; });
  return offset;
}

// The reduction of n elements of x, a stride apart.
double ReducePiece(const Plan& plan, const RowKernels& kernels, const float* x, int64_t stride, int64_t n) {
  const auto kernel = plan.function == Reduce::maximum   ? kernels.maximum
                      : plan.function == Reduce::minimum ? kernels.minimum
                                                         : kernels.sum;
  if (stride == 1 || n == 1) return kernel(x, n);
  double result = plan.Neutral();
  float buffer[kStridedBlock];
  for (int64_t i = 0; i < n; i += kStridedBlock) {
    const int64_t count = std::min(kStridedBlock, n - i);
    Gather(x + i * stride, stride, buffer, count);
    result = plan.Merge(result, kernel(buffer, count));
  }
  return result;
}

void RunInner(const Plan& plan, const Instruction& in, Context& context) {
  const float* x = in[0].As<float>();
  float* y = in[1].As<float>();
  const int64_t outputs = plan.kept.Size(), per_stretch = CeilDiv(plan.inner, kPiece);
  const int64_t pieces = plan.reduced.Size() * per_stretch;
  const auto piece = [&](const float* base, int64_t p) {
    const int64_t begin = p % per_stretch * kPiece, n = std::min(kPiece, plan.inner - begin);
    return ReducePiece(plan, context.kernels.rows,
                       base + OffsetOf(plan.reduced, 0, p / per_stretch) + begin * plan.inner_stride,
                       plan.inner_stride, n);
  };
  if (HasPartialResults(in) && pieces > 1 && outputs * pieces <= kMaxPieces) {
    double* partial = reinterpret_cast<double*>(context.workspace);
    ForChunks(context, outputs * pieces, plan.count / pieces, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        partial[task] = piece(x + OffsetOf(plan.kept, 0, task / pieces), task % pieces);
      }
    });
    for (int64_t i = 0; i < outputs; ++i) {
      double value = plan.Neutral();
      for (int64_t p = 0; p < pieces; ++p) value = plan.Merge(value, partial[i * pieces + p]);
      y[OffsetOf(plan.kept, 1, i)] = plan.Finish(value);
    }
    return;
  }
  ForChunks(context, outputs, plan.count, [&](int64_t begin, int64_t end) {
    plan.kept.ForRuns(begin, end, [&](const int64_t* offsets, int64_t n, int64_t) {
      for (int64_t i = 0; i < n; ++i) {
        const float* base = x + offsets[0] + i * plan.kept.InnerStride(0);
        double value = plan.Neutral();
        for (int64_t p = 0; p < pieces; ++p) value = plan.Merge(value, piece(base, p));
        y[offsets[1] + i * plan.kept.InnerStride(1)] = plan.Finish(value);
      }
    });
  });
}

// sum[j] = reduction over rows [begin, end) of `columns` elements from x + offset of the row.
void ReduceRows(const Plan& plan, const KernelTable& kernels, const float* x, int64_t begin, int64_t end,
                int64_t columns, float* sum) {
  const Binary merge = plan.function == Reduce::maximum   ? Binary::maximum
                       : plan.function == Reduce::minimum ? Binary::minimum
                                                          : Binary::add;
  const auto kernel = kernels.elementwise.binary[static_cast<int>(merge)];
  float block[kColumns], gathered[kColumns];
  std::fill_n(sum, columns, static_cast<float>(plan.Neutral()));
  for (int64_t from = begin; from < end; from += kRowBlock) {
    std::fill_n(block, columns, static_cast<float>(plan.Neutral()));
    plan.reduced.ForRuns(from, std::min(end, from + kRowBlock),
                         [&](const int64_t* offsets, int64_t n, int64_t) {
                           for (int64_t i = 0; i < n; ++i) {
                             const float* row = x + offsets[0] + i * plan.reduced.InnerStride(0);
                             if (plan.inner_stride != 1) {
                               Gather(row, plan.inner_stride, gathered, columns);
                               row = gathered;
                             }
                             kernel(row, 1, block, 1, block, columns);
                           }
                         });
    kernel(block, 1, sum, 1, sum, columns);
  }
}

void RunOuter(const Plan& plan, const Instruction& in, Context& context) {
  const float* x = in[0].As<float>();
  float* y = in[1].As<float>();
  float* partial = reinterpret_cast<float*>(context.workspace);
  const int64_t rows = plan.reduced.Size(), column_blocks = CeilDiv(plan.inner, kColumns);
  const int64_t blocks = plan.kept.Size() * column_blocks;
  const int64_t most_parts = blocks < kFewColumnBlocks ? kMaxRowTasks / blocks : 1;
  const int64_t part = std::max(kRowBlock, CeilDiv(rows, most_parts)),
                parts = std::max<int64_t>(1, CeilDiv(rows, part));
  const auto columns_of = [&](int64_t block) {
    return std::min(kColumns, plan.inner - block % column_blocks * kColumns);
  };
  const auto finish = [&](int64_t block, const float* sum) {
    float* out = y + OffsetOf(plan.kept, 1, block / column_blocks) +
                 block % column_blocks * kColumns * plan.y_inner_stride;
    for (int64_t j = 0; j < columns_of(block); ++j) out[j * plan.y_inner_stride] = plan.Finish(sum[j]);
  };
  const auto run = [&](int64_t task) {
    const int64_t block = task / parts, begin = task % parts * part;
    const float* base = x + OffsetOf(plan.kept, 0, block / column_blocks) +
                        block % column_blocks * kColumns * plan.inner_stride;
    float sum[kColumns];
    ReduceRows(plan, context.kernels, base, begin, std::min(rows, begin + part), columns_of(block), sum);
    if (parts == 1) {
      finish(block, sum);
    } else {
      std::copy_n(sum, columns_of(block), partial + task * kColumns);
    }
  };
  ForChunks(context, blocks * parts, std::min(rows, part) * std::min(kColumns, plan.inner),
            [&](int64_t begin, int64_t end) {
              for (int64_t task = begin; task < end; ++task) run(task);
            });
  if (parts == 1) return;
  for (int64_t block = 0; block < blocks; ++block) {
    float* sum = partial + block * parts * kColumns;
    for (int64_t p = 1; p < parts; ++p) {
      for (int64_t j = 0; j < columns_of(block); ++j) {
        sum[j] = static_cast<float>(plan.Merge(sum[j], sum[p * kColumns + j]));
      }
    }
    finish(block, sum);
  }
}

// Enough for every shape: with fewer rows than planned the dimensions may merge differently.
size_t Workspace(const Instruction& in, int) {
  if (!HasPartialResults(in)) return 0;
  return std::max(sizeof(double) * kMaxPieces, sizeof(float) * kMaxRowTasks * kColumns);
}

void Run(const Instruction& in, Context& context) {
  if (in[1].Size() == 0) return;
  const Plan plan(in);
  if (in[0].Size() == 0) {
    const LoopNest<1> nest({&in[1]}, LoopOrder::kMemory);
    const float value = plan.Finish(plan.Neutral());
    nest.ForRuns(0, nest.Size(), [&](const int64_t* offsets, int64_t n, int64_t) {
      for (int64_t i = 0; i < n; ++i) in[1].As<float>()[offsets[0] + i * nest.InnerStride(0)] = value;
    });
    return;
  }
  plan.inner_reduced ? RunInner(plan, in, context) : RunOuter(plan, in, context);
}

void Reference(const Instruction& in) {
  reference::ReduceDims(FunctionOf(in), ReferenceView<double>(in[0]), ReferenceView<double>(in[1]));
}

}  // namespace

const OpInfo kReduceOp = {"reduce", 1, 1, 1, Check, Workspace, Run, Reference};

}  // namespace heedful
