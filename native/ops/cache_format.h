// Key-value caches in their formats (kernel_table.h): their shape as an operand, and rows in and out of them
// by plain loops. What is stored must not depend on the instruction set, since it outlives a change of it.
#pragma once

#include "ops/heads.h"

namespace heedful {

// Keys or values of `dim` elements as they lie in memory.
struct CacheLayout {
  CacheFormat format;
  int64_t capacity;
  int64_t row, group;  // bytes
  int64_t batch_step, head_step;
  std::byte* data;

  CacheLayout(CacheFormat format, const Operand& cache, int64_t dim);

  std::byte* Head(int64_t b, int64_t h) const { return data + b * batch_step + h * head_step; }
};

// Bytes of the numbers of one row, as far as they are read.
int64_t CacheRowBytes(CacheFormat format, int64_t dim);

// Throws Error of `what` unless `cache` holds rows of `dim` elements for `batch` sequences and `heads` heads:
//   f32   [batch, heads, capacity, dim] of `dtype` (f32 or f64), rows contiguous
//   bf16  i32 [batch, heads, capacity, ⌈dim / 16⌉ · 8], contiguous
//   int8  i32 [batch, heads, ⌈capacity / 16⌉, 16 · ⌈dim / 16⌉ · 4 + 16], contiguous
CacheFormat CheckCache(const std::string& what, const Operand& cache, double format, DType dtype,
                       int64_t batch, int64_t heads, int64_t dim);

// Row j of `head` = x rounded: bf16 to nearest even; int8 to the nearest of 255 multiples of max|x| / 127, a
// row with NaN or ∞ becomes NaN.
template <class T>
void StoreCacheRow(const CacheLayout& layout, std::byte* head, int64_t j, const T* x, int64_t dim);

// y = row j of `head`.
template <class T>
void LoadCacheRow(const CacheLayout& layout, const std::byte* head, int64_t j, T* y, int64_t dim);

}  // namespace heedful
