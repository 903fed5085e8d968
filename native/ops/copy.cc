// copy: y[i] = x[i], converted to the dtype of y, x broadcast to y. f32, f64, i32 or bf16 each; to i32
// towards zero, beyond its range the nearest end, NaN to 0; to bf16 to nearest even, denormals too, beyond
// the largest infinite, NaN stays one. fill: y[i] = value, converted in the same way.
//
// Layouts: any strides; y must not be broadcast. x and y may be the same memory with the same strides and
// dtype; otherwise they must not overlap.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/bf16.h"
#include "ops/chunks.h"
#include "ops/loop_nest.h"
#include "ops/op_list.h"
#include "ops/operands.h"

namespace heedful {
namespace {

template <class To, class From>
To ConvertNumber(From x) {
  if constexpr (std::is_same_v<To, int32_t>) {
    constexpr From kLimit = 2147483648.0;
    if (std::isnan(x)) return 0;
    if (x >= kLimit) return std::numeric_limits<int32_t>::max();
    if (x <= -kLimit) return std::numeric_limits<int32_t>::min();
  }
  return static_cast<To>(x);
}

template <class To, class From>
To Convert(From x) {
  if constexpr (std::is_same_v<To, From>) {
    return x;
  } else if constexpr (std::is_same_v<From, Bf16>) {
    return Convert<To>(Widen(x));
  } else if constexpr (std::is_same_v<To, Bf16>) {
    return RoundToBf16(static_cast<double>(x));
  } else {
    return ConvertNumber<To>(x);
  }
}

// fn(T{}) with the type that dtype names.
template <class F>
void WithType(DType dtype, F&& fn) {
  if (dtype == DType::kF32) fn(float{});
  if (dtype == DType::kF64) fn(double{});
  if (dtype == DType::kI32) fn(int32_t{});
  if (dtype == DType::kBF16) fn(Bf16{});
}

void CheckPlaces(const OperandCheck& check, const Operand& y) {
  check.Require(y.present, "y is missing");
  check.Output("y", y);
}

void CheckCopy(const Instruction& in) {
  const OperandCheck check("copy", DType::kF32);
  check.Require(in[0].present, "x is missing");
  check.Broadcasts("x", in[0], in[1]);
  CheckPlaces(check, in[1]);
}

void CheckFill(const Instruction& in) { CheckPlaces(OperandCheck("fill", DType::kF32), in[0]); }

bool IsFar(const Operand& y) { return y.Size() * SizeOf(y.dtype) >= kFarBytes; }

template <class From, class To>
void CopyRun(const Context& context, const From* x, int64_t x_stride, To* y, int64_t y_stride, int64_t n,
             [[maybe_unused]] bool far) {
  if (x_stride == 1 && y_stride == 1) {
    [[maybe_unused]] const ElementwiseKernels& kernels = context.kernels.elementwise;
    if constexpr (std::is_same_v<From, To>) {
      if (sizeof(To) == sizeof(float) && far) {
        context.kernels.copy.copy_far(reinterpret_cast<const float*>(x), reinterpret_cast<float*>(y), n);
      } else {
        std::memmove(y, x, static_cast<size_t>(n) * sizeof(To));
      }
    } else if constexpr (std::is_same_v<From, float> && std::is_same_v<To, Bf16>) {
      kernels.to_bf16(x, &y->bits, n);
    } else if constexpr (std::is_same_v<From, Bf16> && std::is_same_v<To, float>) {
      kernels.from_bf16(&x->bits, y, n);
    } else {
      for (int64_t i = 0; i < n; ++i) y[i] = Convert<To>(x[i]);
    }
    return;
  }
  for (int64_t i = 0; i < n; ++i) y[i * y_stride] = Convert<To>(x[i * x_stride]);
}

// The dimension of y along which x is contiguous while y is contiguous along the innermost; −1 when this is
// not a transposition.
int TransposedDim(const LoopNest<2>& nest) {
  if (nest.InnerStride(0) != 1 || nest.InnerStride(1) <= 1) return -1;
  for (int d = 0; d + 1 < nest.rank; ++d) {
    if (nest.strides[1][d] == 1 && nest.strides[0][d] >= nest.Inner()) return d;
  }
  return -1;
}

// Every matrix of dimension `d` by the innermost one, in strips of rows of x.
void Transpose(const Context& context, const LoopNest<2>& nest, int d, const float* x, float* y, bool far) {
  constexpr int64_t kRows = 32, kColumns = 512;
  const int last = nest.rank - 1;
  const int64_t rows = nest.dims[last], columns = nest.dims[d];  // of x; those of y the other way round
  const int64_t row_strips = CeilDiv(rows, kRows), column_strips = CeilDiv(columns, kColumns);
  const LoopNest<2> matrices = nest.Only([=](int k) { return k != last && k != d; });
  const int64_t tasks = matrices.Size() * row_strips * column_strips;
  ForTasks(context, tasks, nest.Size(), [&](int64_t task) {
    const int64_t j = task % column_strips * kColumns, i = task / column_strips % row_strips * kRows;
    const int64_t matrix = task / column_strips / row_strips;
    matrices.ForRuns(matrix, matrix + 1, [&](const int64_t* offsets, int64_t, int64_t) {
      context.kernels.copy.transpose(x + offsets[1] + i * nest.strides[1][last] + j, nest.strides[1][last],
                                     y + offsets[0] + j * nest.strides[0][d] + i, nest.strides[0][d],
                                     std::min(kRows, rows - i), std::min(kColumns, columns - j), far);
    });
  });
}

template <class From, class To>
void CopyRange(const Context& context, const LoopNest<2>& nest, const Instruction& in, int64_t begin,
               int64_t end) {
  const From* x = in[0].As<From>();
  To* y = in[1].As<To>();
  const bool far = IsFar(in[1]);
  nest.ForRuns(begin, end, [&](const int64_t* offsets, int64_t n, int64_t) {
    CopyRun(context, x + offsets[1], nest.InnerStride(1), y + offsets[0], nest.InnerStride(0), n, far);
  });
}

void RunCopy(const Instruction& in, Context& context) {
  const LoopNest<2> nest({&in[1], &in[0]}, LoopOrder::kMemory);
  if (nest.Size() == 0) return;
  const int transposed = TransposedDim(nest);
  // The kernel moves words of 32 bits, whatever they mean.
  if (in[0].dtype == in[1].dtype && SizeOf(in[0].dtype) == 4 && transposed >= 0) {
    return Transpose(context, nest, transposed, in[0].As<float>(), in[1].As<float>(), IsFar(in[1]));
  }
  WithType(in[0].dtype, [&](auto from) {
    WithType(in[1].dtype, [&](auto to) {
      ForChunks(context, nest.Size(), 1, [&](int64_t begin, int64_t end) {
        CopyRange<decltype(from), decltype(to)>(context, nest, in, begin, end);
      });
    });
  });
}

void ReferenceCopy(const Instruction& in) {
  WithType(in[0].dtype, [&](auto from) {
    WithType(in[1].dtype, [&](auto to) {
      using From = decltype(from);
      using To = decltype(to);
      const auto x = ReferenceView<From>(in[0]);
      const auto y = ReferenceView<To>(in[1]);
      reference::ForEach(y.dims, [&](const reference::Indices& i) { y(i) = Convert<To>(x(i)); });
    });
  });
}

void RunFill(const Instruction& in, Context& context) {
  const LoopNest<1> nest({&in[0]}, LoopOrder::kMemory);
  WithType(in[0].dtype, [&](auto type) {
    using T = decltype(type);
    const T value = Convert<T>(in.attributes[0]);
    [[maybe_unused]] const bool far = IsFar(in[0]);
    ForChunks(context, nest.Size(), 1, [&](int64_t begin, int64_t end) {
      nest.ForRuns(begin, end, [&](const int64_t* offsets, int64_t n, int64_t) {
        T* y = in[0].As<T>() + offsets[0];
        const int64_t stride = nest.InnerStride(0);
        if constexpr (sizeof(T) == sizeof(float)) {
          if (stride == 1)
            return context.kernels.copy.fill(std::bit_cast<float>(value), reinterpret_cast<float*>(y), n,
                                             far);
        }
        if (stride == 1) {
          std::fill_n(y, n, value);
        } else {
          for (int64_t i = 0; i < n; ++i) y[i * stride] = value;
        }
      });
    });
  });
}

void ReferenceFill(const Instruction& in) {
  WithType(in[0].dtype, [&](auto type) {
    using T = decltype(type);
    const auto y = ReferenceView<T>(in[0]);
    reference::ForEach(y.dims, [&](const reference::Indices& i) { y(i) = Convert<T>(in.attributes[0]); });
  });
}

}  // namespace

const OpInfo kCopyOp = {"copy", 1, 1, 0, CheckCopy, NoWorkspace, RunCopy, ReferenceCopy, true};
const OpInfo kFillOp = {"fill", 0, 1, 1, CheckFill, NoWorkspace, RunFill, ReferenceFill};

}  // namespace heedful
