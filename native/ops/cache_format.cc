#include "ops/cache_format.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/bf16.h"

namespace heedful {
namespace {

int64_t PaddedDim(int64_t dim) { return (dim + kCacheGroup - 1) / kCacheGroup * kCacheGroup; }

int64_t RowOffset(const CacheLayout& layout, int64_t j) {
  return j / kCacheGroup * layout.group + j % kCacheGroup * layout.row;
}

int64_t ScaleOffset(const CacheLayout& layout, int64_t j) {
  return j / kCacheGroup * layout.group + kCacheGroup * layout.row +
         j % kCacheGroup * static_cast<int64_t>(sizeof(float));
}

}  // namespace

int64_t CacheRowBytes(CacheFormat format, int64_t dim) {
  if (format == CacheFormat::f32) return dim * static_cast<int64_t>(sizeof(float));
  return PaddedDim(dim) * (format == CacheFormat::bf16 ? 2 : 1);
}

CacheLayout::CacheLayout(CacheFormat format, const Operand& cache, int64_t dim)
    : format(format), data(cache.As<std::byte>()) {
  const int64_t element = SizeOf(cache.dtype);
  const bool int8 = format == CacheFormat::int8;
  capacity = cache.dims[2] * (int8 ? kCacheGroup : 1);
  row = int8 ? CacheRowBytes(format, dim) : cache.strides[2] * element;
  group = int8 ? kCacheGroup * row + kCacheGroup * static_cast<int64_t>(sizeof(float)) : kCacheGroup * row;
  batch_step = cache.strides[0] * element;
  head_step = cache.strides[1] * element;
}

CacheFormat CheckCache(const std::string& what, const Operand& cache, double format, DType dtype,
                       int64_t batch, int64_t heads, int64_t dim) {
  OperandCheck(what.c_str(), DType::kF32).Choice("format", format, kCacheFormatCount);
  const auto chosen = static_cast<CacheFormat>(static_cast<int>(format));
  HEEDFUL_CHECK(dim >= 1 && dim <= 256,
                what + ": a head may have 1 to 256 elements, not " + std::to_string(dim));
  HEEDFUL_CHECK(cache, what + " is missing");
  if (chosen == CacheFormat::f32) {
    CheckHeads(what, cache, dtype);
    CheckHeadDims(what, cache, batch, heads, cache.dims[2], dim);
    return chosen;
  }
  HEEDFUL_CHECK(cache.dtype == DType::kI32, what + " must be i32");
  HEEDFUL_CHECK(cache.rank == 4, what + " must have 4 dimensions, but is " + ShapeText(cache));
  const int64_t words = CacheRowBytes(chosen, dim) / 4;
  CheckHeadDims(what, cache, batch, heads, cache.dims[2],
                chosen == CacheFormat::int8 ? kCacheGroup * (words + 1) : words);
  // Strides of dimensions of size 1 count for nothing; rows are reached by them all the same.
  HEEDFUL_CHECK(cache.Contiguous() && cache.strides[3] == 1 &&
                    (cache.dims[2] <= 1 || cache.strides[2] == cache.dims[3]),
                what + " must be contiguous");
  return chosen;
}

template <class T>
void StoreCacheRow(const CacheLayout& layout, std::byte* head, int64_t j, const T* x, int64_t dim) {
  std::byte* row = head + RowOffset(layout, j);
  if (layout.format == CacheFormat::f32) {
    std::memcpy(row, x, sizeof(T) * dim);
    return;
  }
  const int64_t padded = PaddedDim(dim);
  if (layout.format == CacheFormat::bf16) {
    uint16_t y[256] = {};
    for (int64_t d = 0; d < dim; ++d) y[d] = RoundToBf16(static_cast<float>(x[d])).bits;
    std::memcpy(row, y, sizeof(uint16_t) * padded);
    return;
  }
  float largest = 0;
  bool finite = true;
  for (int64_t d = 0; d < dim; ++d) {
    const float magnitude = std::fabs(static_cast<float>(x[d]));
    finite = finite && magnitude <= std::numeric_limits<float>::max();
    largest = magnitude > largest ? magnitude : largest;
  }
  const float scale = finite ? largest / 127 : std::numeric_limits<float>::quiet_NaN();
  // Of numbers so small that the scale would lose its bits nothing is left.
  const float inverse = finite && scale >= std::numeric_limits<float>::min() ? 1 / scale : 0;
  int8_t y[256] = {};
  for (int64_t d = 0; d < dim; ++d) {
    // 1.5 · 2²³: the sum is rounded to a whole number, to nearest even.
    const float whole = finite ? (static_cast<float>(x[d]) * inverse + 12582912.0f) - 12582912.0f : 0;
    y[d] = static_cast<int8_t>(whole);
  }
  std::memcpy(row, y, padded);
  std::memcpy(head + ScaleOffset(layout, j), &scale, sizeof scale);
}

template <class T>
void LoadCacheRow(const CacheLayout& layout, const std::byte* head, int64_t j, T* y, int64_t dim) {
  const std::byte* row = head + RowOffset(layout, j);
  if (layout.format == CacheFormat::f32) {
    std::memcpy(y, row, sizeof(T) * dim);
  } else if (layout.format == CacheFormat::bf16) {
    uint16_t x[256];
    std::memcpy(x, row, sizeof(uint16_t) * dim);
    for (int64_t d = 0; d < dim; ++d) y[d] = Widen(Bf16{x[d]});
  } else {
    int8_t x[256];
    float scale;
    std::memcpy(x, row, dim);
    std::memcpy(&scale, head + ScaleOffset(layout, j), sizeof scale);
    for (int64_t d = 0; d < dim; ++d) y[d] = static_cast<T>(x[d]) * static_cast<T>(scale);
  }
}

template void StoreCacheRow(const CacheLayout&, std::byte*, int64_t, const float*, int64_t);
template void StoreCacheRow(const CacheLayout&, std::byte*, int64_t, const double*, int64_t);
template void LoadCacheRow(const CacheLayout&, const std::byte*, int64_t, float*, int64_t);
template void LoadCacheRow(const CacheLayout&, const std::byte*, int64_t, double*, int64_t);

}  // namespace heedful
