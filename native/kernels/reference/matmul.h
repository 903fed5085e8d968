// y[i, j] = Σ_k a[i, k] · b[k, j], each element on its own, in the order of k.
// a (m, k), b (k, n), y (m, n), any strides (elements); y overlaps neither a nor b.
#pragma once

#include <stdint.h>

namespace heedful::reference {

template <class T>
struct Matrix {
  T* data;
  int64_t row, column;  // strides

  T& operator()(int64_t i, int64_t j) const { return data[i * row + j * column]; }
};

template <class T>
void Matmul(Matrix<const T> a, Matrix<const T> b, Matrix<T> y, int64_t m, int64_t n, int64_t k) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      T sum = 0;
      for (int64_t l = 0; l < k; ++l) sum += a(i, l) * b(l, j);
      y(i, j) = sum;
    }
  }
}

}  // namespace heedful::reference
