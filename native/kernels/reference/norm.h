// Layer norm and RMS norm over the last dimension, and their gradient.
#pragma once

#include <cmath>

#include "kernels/reference/strided.h"

namespace heedful::reference {

// s = x + residual;  y = (s − mean) · rstd · weight + bias,  rstd = 1 / √(Σ (s − mean)² / n + ε),
// mean = Σ s / n, or 0 unless center. Views without data are absent. mean and rstd have the dimensions of x
// but for the last.
template <class T>
void Norm(View<T> x, View<T> residual, View<T> weight, View<T> bias, View<T> y, View<T> sum, View<T> mean,
          View<T> rstd, double epsilon, bool center) {
  const int64_t n = x.dims.back();
  ForEachRow(x.dims, [&](const Indices& row) {
    const Indices outer(row.begin(), row.end() - 1);
    std::vector<T> s(static_cast<size_t>(n));
    T average = 0, variance = 0;
    for (int64_t c = 0; c < n; ++c) {
      const Indices i = WithLast(row, c);
      s[c] = x(i) + (residual.data ? residual(i) : T(0));
      if (center) average += s[c] / n;
    }
    for (T v : s) variance += (v - average) * (v - average) / n;
    const T scale = 1 / std::sqrt(variance + T(epsilon));
    for (int64_t c = 0; c < n; ++c) {
      const Indices i = WithLast(row, c);
      if (sum.data) sum(i) = s[c];
      y(i) = (s[c] - average) * scale * (weight.data ? weight({c}) : T(1)) + (bias.data ? bias({c}) : T(0));
    }
    if (mean.data) mean(outer) = average;
    if (rstd.data) rstd(outer) = scale;
  });
}

// With g = dy · weight and x̂ = (x − mean) · rstd:
//   dx = rstd · (g − [Σ g / n] − x̂ · Σ (g · x̂) / n) + gradResidual;  dWeight = Σ_rows dy · x̂;  dBias = Σ_rows
//   dy
template <class T>
void NormGradient(View<T> dy, View<T> x, View<T> weight, View<T> mean, View<T> rstd, View<T> grad_residual,
                  View<T> dx, View<T> d_weight, View<T> d_bias, bool center) {
  const int64_t n = x.dims.back();
  for (int64_t c = 0; c < n; ++c) {
    if (d_weight.data) d_weight({c}) = 0;
    if (d_bias.data) d_bias({c}) = 0;
  }
  ForEachRow(x.dims, [&](const Indices& row) {
    const Indices outer(row.begin(), row.end() - 1);
    std::vector<T> g(static_cast<size_t>(n)), normal(static_cast<size_t>(n));
    T mean_g = 0, mean_gx = 0;
    for (int64_t c = 0; c < n; ++c) {
      const Indices i = WithLast(row, c);
      normal[c] = (x(i) - (mean.data ? mean(outer) : T(0))) * rstd(outer);
      g[c] = dy(i) * (weight.data ? weight({c}) : T(1));
      if (center) mean_g += g[c] / n;
      mean_gx += g[c] * normal[c] / n;
      if (d_weight.data) d_weight({c}) += dy(i) * normal[c];
      if (d_bias.data) d_bias({c}) += dy(i);
    }
    for (int64_t c = 0; c < n; ++c) {
      const Indices i = WithLast(row, c);
      dx(i) = rstd(outer) * (g[c] - mean_g - normal[c] * mean_gx) +
              (grad_residual.data ? grad_residual(i) : T(0));
    }
  });
}

}  // namespace heedful::reference
