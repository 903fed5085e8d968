// CacheWrite: cache[b, h, position + t, :] = x[b, h, t, :], rounded to the format of the cache.
//
// x [B, H, T, D], position i32 [] → cache of B sequences and H heads (cache_format.h), updated in place
// {format}. Layouts: x: last dimension contiguous, other strides arbitrary; so is a cache of f32. Contract: 0
// ≤ position and position + T ≤ its capacity, checked when it runs, before anything is written. Other rows of
// the cache stay as they are. x may not overlap the cache.

#include <cstring>

#include "ops/cache_format.h"
#include "ops/op_list.h"

namespace heedful {
namespace {

enum { kX, kPosition, kCache };

// Elements of one task: 64 KiB, some microseconds.
constexpr int64_t kTaskElements = 16384;

void Check(const Instruction& in) {
  const Operand &x = in[kX], &position = in[kPosition], &cache = in[kCache];
  CheckHeads("cacheWrite: x", x, x.dtype);
  const CacheFormat format =
      CheckCache("cacheWrite: cache", cache, in.attributes[0], x.dtype, x.dims[0], x.dims[1], x.dims[3]);
  if (format == CacheFormat::f32) CheckHeadsOutput("cacheWrite: cache", cache, x.dtype);
  HEEDFUL_CHECK(position && position.dtype == DType::kI32 && position.rank == 0,
                "cacheWrite: position must be one i32, of rank 0");
}

CacheLayout LayoutOf(const Instruction& in) {
  return {static_cast<CacheFormat>(static_cast<int>(in.attributes[0])), in[kCache], in[kX].dims[3]};
}

// Throws unless x fits into the cache there.
int64_t CheckedPosition(const Instruction& in, const CacheLayout& layout) {
  const int64_t position = *in[kPosition].As<int32_t>(), length = in[kX].dims[2];
  HEEDFUL_CHECK(position >= 0 && position + length <= layout.capacity,
                "cacheWrite: " + std::to_string(length) + " rows at position " + std::to_string(position) +
                    " do not fit into a cache of " + std::to_string(layout.capacity));
  return position;
}

// Row `row` of all rows of x, in the order [b, h, t].
template <class T>
void WriteRow(const Operand& x, const CacheLayout& layout, int64_t position, int64_t row) {
  const int64_t length = x.dims[2], heads = x.dims[1];
  const int64_t t = row % length, h = row / length % heads, b = row / length / heads;
  const T* source = x.As<T>() + b * x.strides[0] + h * x.strides[1] + t * x.strides[2];
  StoreCacheRow(layout, layout.Head(b, h), position + t, source, x.dims[3]);
}

void Run(const Instruction& in, Context& context) {
  const Operand& x = in[kX];
  const CacheLayout layout = LayoutOf(in);
  const int64_t position = CheckedPosition(in, layout);
  if (x.Size() == 0) return;
  const int64_t rows = x.dims[0] * x.dims[1] * x.dims[2];
  const int64_t task_rows = std::max<int64_t>(1, kTaskElements / x.dims[3]);
  context.Parallel((rows + task_rows - 1) / task_rows, [&](int64_t task, int) {
    for (int64_t row = task * task_rows; row < std::min(rows, (task + 1) * task_rows); ++row)
      WriteRow<float>(x, layout, position, row);
  });
}

void Reference(const Instruction& in) {
  const CacheLayout layout = LayoutOf(in);
  const int64_t position = CheckedPosition(in, layout);
  for (int64_t row = 0; row < in[kX].dims[0] * in[kX].dims[1] * in[kX].dims[2]; ++row)
    WriteRow<double>(in[kX], layout, position, row);
}

}  // namespace

const OpInfo kCacheWriteOp = {"cacheWrite", 2, 1, 1, Check, NoWorkspace, Run, Reference};

}  // namespace heedful
