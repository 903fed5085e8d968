// CacheWrite: cache[slot, h, position + t, :] = x[b, h, t, :], rounded to the format of the cache, for each
// sequence. CacheCopy: cache[to[i], h, t, :] = cache[from[i], h, t, :], t < lengths[i], as it lies there.
//
// x [B, H, T, D], position i32 [], [offsets i32 [N + 1]], [slots i32 [N]], [angles] (row_angles.h: rows are
// turned by them before they are rounded) → cache {format, interleaved}; with offsets
// position is [N] (cache_rows.h), and rows of x after the last offset are left out. from, to, lengths i32 [M]
// → cache {format, D}. The cache (cache_format.h) is updated in place. Layouts: x: last dimension contiguous,
// other strides arbitrary; so is a cache of f32. Contract, checked when it runs, before anything is written:
// 0 ≤ position and position + T ≤ its capacity; no two sequences write to one slot; what is copied to is
// neither copied from nor copied to twice. Other rows of the cache stay as they are. x may not overlap the
// cache.

#include <cstring>

#include "ops/cache_format.h"
#include "ops/cache_rows.h"
#include "ops/chunks.h"
#include "ops/op_list.h"
#include "ops/row_angles.h"

namespace heedful {
namespace {

enum { kX, kPosition, kOffsets, kSlots, kAngles, kCache };
enum { kFormat, kInterleaved };

void Check(const Instruction& in) {
  const Operand &x = in[kX], &position = in[kPosition], &offsets = in[kOffsets], &cache = in[kCache];
  CheckHeads("cacheWrite: x", x, x.dtype);
  HEEDFUL_CHECK(cache && cache.rank == 4, "cacheWrite: cache must have 4 dimensions");
  if (in[kAngles]) CheckAngles("cacheWrite: angles", in[kAngles], x);
  CachedSequences::Check("cacheWrite", x, offsets, in[kSlots], cache);
  const CacheFormat format = CheckCache("cacheWrite: cache", cache, in.attributes[kFormat], x.dtype,
                                        cache.dims[0], x.dims[1], x.dims[3]);
  if (format == CacheFormat::f32) CheckHeadsOutput("cacheWrite: cache", cache, x.dtype);
  HEEDFUL_CHECK(
      position && position.dtype == DType::kI32 &&
          (offsets ? position.rank == 1 && position.dims[0] == offsets.dims[0] - 1 : position.rank == 0),
      offsets ? "cacheWrite: position must be i32, one of each sequence"
              : "cacheWrite: position must be one i32, of rank 0");
}

CacheLayout LayoutOf(const Instruction& in) {
  return {static_cast<CacheFormat>(static_cast<int>(in.attributes[kFormat])), in[kCache], in[kX].dims[3]};
}

int64_t PositionOf(const Instruction& in, int64_t s) {
  return in[kPosition].As<int32_t>()[in[kOffsets] ? s * in[kPosition].strides[0] : 0];
}

// Throws unless all of x fits into the cache.
void CheckPlaces(const Instruction& in, const CacheLayout& layout, const CachedSequences& sequences) {
  sequences.CheckData("cacheWrite");
  for (int64_t s = 0; s < sequences.Count(); ++s) {
    const CachedSequence x = sequences[s];
    const int64_t position = PositionOf(in, s);
    HEEDFUL_CHECK(position >= 0 && position + x.rows <= layout.capacity,
                  "cacheWrite: " + std::to_string(x.rows) + " rows at position " + std::to_string(position) +
                      " do not fit into a cache of " + std::to_string(layout.capacity));
    for (int64_t before = 0; in[kSlots] && x.rows && before < s; ++before) {
      HEEDFUL_CHECK(sequences[before].rows == 0 || sequences[before].slot != x.slot,
                    "cacheWrite: the sequences " + std::to_string(before) + " and " + std::to_string(s) +
                        " write to one slot, " + std::to_string(x.slot));
    }
  }
}

// Row t of a sequence of x, all heads; turn(x, row of x, y) makes the turned row y.
template <class T, class Turn>
void WriteRow(const Instruction& in, const CacheLayout& layout, const CachedSequence& sequence,
              int64_t position, int64_t t, Turn&& turn) {
  const Operand& x = in[kX];
  T turned[256];
  for (int64_t h = 0; h < x.dims[1]; ++h) {
    const int64_t row = sequence.row + t;
    const T* source = x.As<T>() + sequence.batch * x.strides[0] + h * x.strides[1] + row * x.strides[2];
    if (in[kAngles]) {
      turn(source, row, turned);
      source = turned;
    }
    StoreCacheRow(layout, layout.Head(sequence.slot, h), position + t, source, x.dims[3]);
  }
}

void Run(const Instruction& in, Context& context) {
  const Operand& x = in[kX];
  const CacheLayout layout = LayoutOf(in);
  const CachedSequences sequences(x, in[kOffsets], in[kSlots], in[kCache]);
  CheckPlaces(in, layout, sequences);
  const auto write = [&](int64_t s, int64_t begin, int64_t end) {
    const CachedSequence sequence = sequences[s];
    const auto turn = [&](const float* row, int64_t t, float* y) {
      context.kernels.attention.rotate(
          {.x = row,
           .x_row = 0,
           .y = y,
           .y_row = 0,
           .rows = 1,
           .angles = AnglesFrom(in[kAngles], sequence.batch, t, in.attributes[kInterleaved] != 0),
           .head_dim = static_cast<int>(x.dims[3]),
           .inverse = false});
    };
    for (int64_t t = begin; t < end; ++t) WriteRow<float>(in, layout, sequence, PositionOf(in, s), t, turn);
  };
  // Sequences are long, or many of them short: work is cut at one of the two.
  const int64_t count = sequences.Count(), tokens = x.dims[0] * x.dims[2], row = x.dims[1] * x.dims[3];
  if (tokens >= 2 * count) {
    for (int64_t s = 0; s < count; ++s)
      ForChunks(context, sequences[s].rows, row, [&](int64_t begin, int64_t end) { write(s, begin, end); });
  } else {
    ForChunks(context, count, row, [&](int64_t begin, int64_t end) {
      for (int64_t s = begin; s < end; ++s) write(s, 0, sequences[s].rows);
    });
  }
}

void Reference(const Instruction& in) {
  const CacheLayout layout = LayoutOf(in);
  const CachedSequences sequences(in[kX], in[kOffsets], in[kSlots], in[kCache]);
  CheckPlaces(in, layout, sequences);
  for (int64_t s = 0; s < sequences.Count(); ++s) {
    const auto turn = [&](const double* row, int64_t t, double* y) {
      const Operand& angles = in[kAngles];
      reference::Turn(row, AnglesAt<double>(angles, sequences[s].batch, t), AnglePairs(angles),
                      in.attributes[kInterleaved] != 0, false, y, in[kX].dims[3]);
    };
    for (int64_t t = 0; t < sequences[s].rows; ++t)
      WriteRow<double>(in, layout, sequences[s], PositionOf(in, s), t, turn);
  }
}

// ---- copies
// -----------------------------------------------------------------------------------------------------

enum { kFrom, kTo, kLengths, kCopied };
enum { kCopyFormat, kDim };

void CheckCopy(const Instruction& in) {
  const Operand& cache = in[kCopied];
  HEEDFUL_CHECK(cache && cache.rank == 4, "cacheCopy: cache must have 4 dimensions");
  const double dim = in.attributes[kDim];
  HEEDFUL_CHECK(dim >= 1 && dim <= 256 && dim == static_cast<int>(dim),
                "cacheCopy: headDim must be 1 to 256");
  const CacheFormat format = CheckCache("cacheCopy: cache", cache, in.attributes[kCopyFormat], cache.dtype,
                                        cache.dims[0], cache.dims[1], static_cast<int64_t>(dim));
  if (format == CacheFormat::f32) CheckHeadsOutput("cacheCopy: cache", cache, cache.dtype);
  const char* names[] = {"from", "to", "lengths"};
  for (const int i : {kFrom, kTo, kLengths}) {
    HEEDFUL_CHECK(
        in[i] && in[i].dtype == DType::kI32 && in[i].rank == 1 && in[i].dims[0] == in[kFrom].dims[0],
        std::string("cacheCopy: ") + names[i] + " must be i32, as many as of the others");
  }
}

int64_t At(const Operand& x, int64_t i) { return x.As<int32_t>()[i * x.strides[0]]; }

void CheckCopies(const Instruction& in, const CacheLayout& layout) {
  const int64_t slots = in[kCopied].dims[0], count = in[kFrom].dims[0];
  for (int64_t i = 0; i < count; ++i) {
    const int64_t length = At(in[kLengths], i), from = At(in[kFrom], i), to = At(in[kTo], i);
    const std::string which = "[" + std::to_string(i) + "] is ";
    HEEDFUL_CHECK(length >= 0 && length <= layout.capacity, "cacheCopy: lengths" + which +
                                                                std::to_string(length) + ", expected 0 to " +
                                                                std::to_string(layout.capacity));
    if (length == 0) continue;
    HEEDFUL_CHECK(from >= 0 && from < slots, "cacheCopy: from" + which + std::to_string(from) +
                                                 ", expected 0 to " + std::to_string(slots - 1));
    HEEDFUL_CHECK(to >= 0 && to < slots, "cacheCopy: to" + which + std::to_string(to) + ", expected 0 to " +
                                             std::to_string(slots - 1));
    for (int64_t j = 0; j < count; ++j) {
      HEEDFUL_CHECK(At(in[kLengths], j) == 0 || (At(in[kFrom], j) != to && (j == i || At(in[kTo], j) != to)),
                    "cacheCopy: to" + which + std::to_string(to) + ", which is copied from, or to, as well");
    }
  }
}

void RunCopies(const Instruction& in, const CacheLayout& layout, int64_t element, const Context* context) {
  CheckCopies(in, layout);
  const int64_t heads = in[kCopied].dims[1];
  const auto copy = [&](int64_t task, int) {
    const int64_t i = task / heads, h = task % heads, length = At(in[kLengths], i);
    if (length == 0) return;
    const std::byte* from = layout.Head(At(in[kFrom], i), h);
    std::byte* to = layout.Head(At(in[kTo], i), h);
    if (layout.format == CacheFormat::f32) {
      for (int64_t t = 0; t < length; ++t)
        std::memcpy(to + t * layout.row, from + t * layout.row,
                    static_cast<size_t>(element * static_cast<int64_t>(in.attributes[kDim])));
    } else {
      // Whole groups, but bf16 has none behind its last row.
      const bool groups = layout.format == CacheFormat::int8;
      std::memcpy(
          to, from,
          static_cast<size_t>(groups ? CeilDiv(length, kCacheGroup) * layout.group : length * layout.row));
    }
  };
  const int64_t tasks = in[kFrom].dims[0] * heads;
  if (context) return context->Parallel(tasks, copy);
  for (int64_t task = 0; task < tasks; ++task) copy(task, 0);
}

CacheLayout CopyLayout(const Instruction& in) {
  return {static_cast<CacheFormat>(static_cast<int>(in.attributes[kCopyFormat])), in[kCopied],
          static_cast<int64_t>(in.attributes[kDim])};
}

void RunCopy(const Instruction& in, Context& context) {
  RunCopies(in, CopyLayout(in), sizeof(float), &context);
}
void ReferenceCopy(const Instruction& in) {
  RunCopies(in, CopyLayout(in), SizeOf(in[kCopied].dtype), nullptr);
}

}  // namespace

const OpInfo kCacheWriteOp = {"cacheWrite", 5, 1, 2, Check, NoWorkspace, Run, Reference};
const OpInfo kCacheCopyOp = {"cacheCopy", 3, 1, 2, CheckCopy, NoWorkspace, RunCopy, ReferenceCopy};

}  // namespace heedful
