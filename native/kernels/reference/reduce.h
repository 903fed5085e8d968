// Reductions over any set of dimensions.
#pragma once

#include <cmath>
#include <limits>

#include "kernels/kernel_table.h"
#include "kernels/reference/strided.h"

namespace heedful::reference {

// y[…, 1, …] = Σ x, Σ x / count, max x or min x over the dimensions that are 1 in y. Of nothing: 0, NaN, −∞,
// ∞.
template <class T>
void ReduceDims(Reduce f, View<T> x, View<T> y) {
  const T infinity = std::numeric_limits<T>::infinity();
  ForEach(y.dims, [&](const Indices& i) {
    y(i) = f == Reduce::maximum ? -infinity : f == Reduce::minimum ? infinity : T(0);
  });
  ForEach(x.dims, [&](const Indices& i) {
    T& r = y(i);
    const T v = x(i);
    if (f == Reduce::maximum) r = v > r || std::isnan(v) ? v : r;
    if (f == Reduce::minimum) r = v < r || std::isnan(v) ? v : r;
    if (f == Reduce::sum || f == Reduce::mean) r += v;
  });
  if (f != Reduce::mean) return;
  int64_t count = 1;
  for (size_t d = 0; d < x.dims.size(); ++d) count *= y.dims[d] == 1 ? x.dims[d] : 1;
  ForEach(y.dims, [&](const Indices& i) { y(i) /= T(count); });
}

}  // namespace heedful::reference
