// Strided views and the plain loop over an index space that all references use. Slow on purpose, simple on
// purpose.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace heedful::reference {

using Indices = std::vector<int64_t>;

// Element (i0, i1, …) at data + Σ i_d · strides[d].
template <class T>
struct View {
  T* data;
  std::vector<int64_t> dims, strides;

  // `index` may have more dimensions than the view, which is then missing leading ones; a dimension of size 1
  // is broadcast.
  T& operator()(const Indices& index) const {
    const std::size_t skip = index.size() - dims.size();
    T* p = data;
    for (std::size_t d = 0; d < dims.size(); ++d) p += dims[d] == 1 ? 0 : index[skip + d] * strides[d];
    return *p;
  }
};

// fn(index) for every index of the space, in row-major order.
template <class F>
void ForEach(const std::vector<int64_t>& dims, F fn) {
  Indices index(dims.size(), 0);
  for (int64_t n : dims) {
    if (n == 0) return;
  }
  for (;;) {
    fn(index);
    std::size_t d = dims.size();
    while (d > 0 && ++index[d - 1] == dims[d - 1]) index[--d] = 0;
    if (d == 0) return;
  }
}

// fn(index) for every row: the last index stays 0, for WithLast to set.
template <class F>
void ForEachRow(std::vector<int64_t> dims, F fn) {
  if (!dims.empty()) dims.back() = 1;
  ForEach(dims, fn);
}

// `row` with its last index set to c.
inline Indices WithLast(Indices row, int64_t c) {
  if (!row.empty()) row.back() = c;
  return row;
}

}  // namespace heedful::reference
