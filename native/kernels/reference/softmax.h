// Softmax over the last dimension, and its gradient.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/reference/strided.h"

namespace heedful::reference {

// max_c x[c] and ln Σ_c exp(x[c]) of one row of n elements.
template <class T>
T LogSumExp(const View<T>& x, const Indices& row, int64_t n) {
  T maximum = -std::numeric_limits<T>::infinity(), sum = 0;
  for (int64_t c = 0; c < n; ++c) maximum = std::max(maximum, x(WithLast(row, c)));
  for (int64_t c = 0; c < n; ++c) sum += std::exp(x(WithLast(row, c)) - maximum);
  return maximum + std::log(sum);
}

// y[c] = exp(x[c]) / Σ exp(x), or x[c] − ln Σ exp(x)
template <class T>
void Softmax(View<T> x, View<T> y, bool log) {
  const int64_t n = y.dims.empty() ? 1 : y.dims.back();
  ForEachRow(y.dims, [&](const Indices& row) {
    const T lse = LogSumExp(x, row, n);
    for (int64_t c = 0; c < n; ++c) {
      const Indices i = WithLast(row, c);
      y(i) = log ? x(i) - lse : std::exp(x(i) - lse);
    }
  });
}

// dx[c] = y[c] · (dy[c] − Σ dy · y), or dy[c] − exp(y[c]) · Σ dy
template <class T>
void SoftmaxGradient(View<T> y, View<T> dy, View<T> dx, bool log) {
  const int64_t n = dx.dims.empty() ? 1 : dx.dims.back();
  ForEachRow(dx.dims, [&](const Indices& row) {
    T sum = 0;
    for (int64_t c = 0; c < n; ++c) {
      const Indices i = WithLast(row, c);
      sum += log ? dy(i) : dy(i) * y(i);
    }
    for (int64_t c = 0; c < n; ++c) {
      const Indices i = WithLast(row, c);
      dx(i) = log ? dy(i) - std::exp(y(i)) * sum : y(i) * (dy(i) - sum);
    }
  });
}

}  // namespace heedful::reference
