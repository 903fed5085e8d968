// Operands of rank 4, [batch, heads, length, dim], that the drivers of attention, rotation and cache share.
//
// Layout: the last dimension contiguous (stride 1, or a size of at most 1), all other strides arbitrary, so
// that a transposed view of (tokens, heads · dim) is read in place.
#pragma once

#include <algorithm>
#include <string>

#include "kernels/reference/view.h"
#include "ops/operands.h"

namespace heedful {

// `what` is "<op>: <operand>", as every message begins.
inline void CheckHeads(const std::string& what, const Operand& x, DType dtype) {
  HEEDFUL_CHECK(x, what + " is missing");
  HEEDFUL_CHECK(dtype == DType::kF32 || dtype == DType::kF64, what + " must be of floating point");
  HEEDFUL_CHECK(x.dtype == dtype, what + " must have the dtype of the first operand");
  HEEDFUL_CHECK(x.rank == 4, what + " must be [batch, heads, length, dim], but is " + ShapeText(x));
  HEEDFUL_CHECK(x.strides[3] == 1 || x.dims[3] <= 1, what + " must have a contiguous last dimension");
}

// Of an output: no two elements share a place, as far as broadcasting goes, so that tasks never write the
// same one.
inline void CheckHeadsOutput(const std::string& what, const Operand& x, DType dtype) {
  CheckHeads(what, x, dtype);
  for (int d = 0; d < x.rank; ++d) {
    HEEDFUL_CHECK(x.strides[d] != 0 || x.dims[d] <= 1 || x.Size() == 0,
                  what + " must not be broadcast, it is written");
  }
}

// Throws unless x is [batch, heads, length, dim].
inline void CheckHeadDims(const std::string& what, const Operand& x, int64_t batch, int64_t heads,
                          int64_t length, int64_t dim) {
  const int64_t expected[] = {batch, heads, length, dim};
  if (std::equal(expected, expected + 4, x.dims)) return;
  Operand wanted;
  wanted.rank = 4;
  std::copy(expected, expected + 4, wanted.dims);
  throw Error(what + " must be " + ShapeText(wanted) + ", but is " + ShapeText(x));
}

template <class T>
reference::View4<T> ViewHeads(const Operand& x) {
  reference::View4<T> view{x.As<T>(), {}, {}};
  std::copy(x.dims, x.dims + 4, view.dims);
  std::copy(x.strides, x.strides + 4, view.strides);
  return view;
}

// The same, without data where the operand is absent.
template <class T>
reference::View4<T> ViewHeadsIf(const Operand& x) {
  return x ? ViewHeads<T>(x) : reference::View4<T>{nullptr, {}, {}};
}

// Where row 0 of one head of one sequence begins.
inline float* HeadData(const Operand& x, int64_t b, int64_t h) {
  return x.As<float>() + b * x.strides[0] + h * x.strides[1];
}

}  // namespace heedful
