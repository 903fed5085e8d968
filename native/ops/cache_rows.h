// Which rows of a packed operand go with which row of a cache: the operands offsets and slots that CacheWrite
// and CachedAttention share.
//
// Sequence s is the rows offsets[s] … offsets[s + 1] − 1 of an operand [1, heads, tokens, dim], or row s of
// one [batch, heads, length, dim] where there are no offsets. It lies in row slots[s] of the cache, or in row
// s.
#pragma once

#include <string>

#include "ops/heads.h"

namespace heedful {

struct CachedSequence {
  int64_t batch, row, rows, slot;
};

class CachedSequences {
 public:
  CachedSequences(const Operand& x, const Operand& offsets, const Operand& slots, const Operand& cache)
      : x_(x), offsets_(offsets), slots_(slots), cache_rows_(cache.dims[0]) {}

  static void Check(const std::string& op, const Operand& x, const Operand& offsets, const Operand& slots,
                    const Operand& cache) {
    if (offsets) {
      HEEDFUL_CHECK(offsets.dtype == DType::kI32 && offsets.rank == 1 && offsets.dims[0] >= 1,
                    op + ": offsets must be i32 [sequences + 1]");
      HEEDFUL_CHECK(x.dims[0] == 1, op + ": with offsets there is one batch, but got " + ShapeText(x));
    }
    const int64_t count = offsets ? offsets.dims[0] - 1 : x.dims[0];
    if (slots)
      HEEDFUL_CHECK(slots.dtype == DType::kI32 && slots.rank == 1 && slots.dims[0] == count,
                    op + ": slots must be i32 [" + std::to_string(count) + "]");
    else
      HEEDFUL_CHECK(offsets ? count <= cache.dims[0] : count == cache.dims[0],
                    op + ": " + std::to_string(count) + " sequences need as many rows of the cache, it has " +
                        std::to_string(cache.dims[0]) + "; or slots");
  }

  int64_t Count() const { return offsets_ ? offsets_.dims[0] - 1 : x_.dims[0]; }
  // Whether At() can be called: offsets begin with 0, never fall and end within the rows; slots are rows of
  // the cache.
  void CheckData(const std::string& op) const {
    for (int64_t s = 0, before = 0; offsets_ && s < offsets_.dims[0]; ++s) {
      const int64_t offset = Number(offsets_, s);
      HEEDFUL_CHECK(s ? offset >= before && offset <= x_.dims[2] : offset == 0,
                    op + ": offsets[" + std::to_string(s) + "] is " + std::to_string(offset) +
                        (s ? ", expected " + std::to_string(before) + " to " + std::to_string(x_.dims[2])
                           : ", expected 0"));
      before = offset;
    }
    for (int64_t s = 0; slots_ && s < Count(); ++s) {
      const int64_t slot = Number(slots_, s);
      HEEDFUL_CHECK(slot >= 0 && slot < cache_rows_,
                    op + ": slots[" + std::to_string(s) + "] is " + std::to_string(slot) +
                        ", expected a row of the cache, 0 to " + std::to_string(cache_rows_ - 1));
    }
  }
  CachedSequence operator[](int64_t s) const {
    const int64_t slot = slots_ ? Number(slots_, s) : s;
    if (!offsets_) return {s, 0, x_.dims[2], slot};
    const int64_t row = Number(offsets_, s);
    return {0, row, Number(offsets_, s + 1) - row, slot};
  }

 private:
  static int64_t Number(const Operand& x, int64_t i) { return x.As<int32_t>()[i * x.strides[0]]; }

  const Operand &x_, &offsets_, &slots_;
  int64_t cache_rows_;
};

}  // namespace heedful
