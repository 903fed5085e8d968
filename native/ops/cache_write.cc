// CacheWrite: cache[b, h, position + t, :] = x[b, h, t, :]
//
// x [B, H, T, D], position i32 [] → cache [B, H, C, D], updated in place.
// Layouts: x, cache: last dimension contiguous, other strides arbitrary.
// Contract: 0 ≤ position and position + T ≤ C, checked when it runs, before anything is written. Other rows
// of the cache stay as they are. x may not overlap the cache.

#include "kernels/reference/cache_write.h"

#include <cstring>

#include "ops/heads.h"
#include "ops/op_list.h"

namespace heedful {
namespace {

enum { kX, kPosition, kCache };

// Elements of one task: 64 KiB, some microseconds.
constexpr int64_t kTaskElements = 16384;

void Check(const Instruction& in) {
  const Operand &x = in[kX], &position = in[kPosition], &cache = in[kCache];
  CheckHeads("cacheWrite: x", x, x.dtype);
  CheckHeadsOutput("cacheWrite: cache", cache, x.dtype);
  CheckHeadDims("cacheWrite: cache", cache, x.dims[0], x.dims[1], cache.dims[2], x.dims[3]);
  HEEDFUL_CHECK(position && position.dtype == DType::kI32 && position.rank == 0,
                "cacheWrite: position must be one i32, of rank 0");
}

// Throws unless x fits into the cache there.
int64_t CheckedPosition(const Instruction& in) {
  const int64_t position = *in[kPosition].As<int32_t>(), length = in[kX].dims[2],
                capacity = in[kCache].dims[2];
  HEEDFUL_CHECK(position >= 0 && position + length <= capacity,
                "cacheWrite: " + std::to_string(length) + " rows at position " + std::to_string(position) +
                    " do not fit into a cache of " + std::to_string(capacity));
  return position;
}

void Run(const Instruction& in, Context& context) {
  const Operand &x = in[kX], &cache = in[kCache];
  const int64_t position = CheckedPosition(in), heads = x.dims[1], length = x.dims[2], dim = x.dims[3];
  if (x.Size() == 0) return;
  const int64_t rows = x.dims[0] * heads * length, task_rows = std::max<int64_t>(1, kTaskElements / dim);
  context.Parallel((rows + task_rows - 1) / task_rows, [&](int64_t task, int) {
    for (int64_t row = task * task_rows; row < std::min(rows, (task + 1) * task_rows); ++row) {
      const int64_t t = row % length, h = row / length % heads, b = row / length / heads;
      std::memcpy(HeadData(cache, b, h) + (position + t) * cache.strides[2],
                  HeadData(x, b, h) + t * x.strides[2], sizeof(float) * dim);
    }
  });
}

void Reference(const Instruction& in) {
  reference::CacheWrite(ViewHeads<double>(in[kX]), CheckedPosition(in), ViewHeads<double>(in[kCache]));
}

}  // namespace

const OpInfo kCacheWriteOp = {"cacheWrite", 2, 1, 0, Check, NoWorkspace, Run, Reference};

}  // namespace heedful
