// Dropout.
#pragma once

#include <cmath>

#include "kernels/random.h"
#include "kernels/reference/strided.h"

namespace heedful::reference {

// y[i] = Random32(seed, stream, i) < p · 2³² ? 0 : x[i] / (1 − p), i counted in row-major order.
template <class T>
void Dropout(View<T> x, View<T> y, uint32_t seed, uint32_t stream, double p) {
  uint64_t position = 0;
  ForEach(y.dims, [&](const Indices& i) {
    const bool drop = Random32(seed, stream, position++) < std::round(p * 4294967296.0);
    y(i) = drop ? T(0) : x(i) / T(1 - p);
  });
}

}  // namespace heedful::reference
