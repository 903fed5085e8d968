// AdamW and the norm of gradients.
#pragma once

#include <cmath>
#include <vector>

#include "kernels/reference/strided.h"

namespace heedful::reference {

// Loshchilov & Hutter 2019, algorithm 2, step t ≥ 1: with g = gradient · scale,
//   m ← β1·m + (1 − β1)·g;  v ← β2·v + (1 − β2)·g²;
//   p ← p − lr·λ·p − lr · (m / (1 − β1ᵗ)) / (√(v / (1 − β2ᵗ)) + ε)
template <class T>
void AdamWStep(View<T> gradient, View<T> parameter, View<T> m, View<T> v, T learning_rate, T scale, int64_t t,
               T beta1, T beta2, T epsilon, T weight_decay) {
  ForEach(parameter.dims, [&](const Indices& i) {
    const T g = gradient(i) * scale;
    m(i) = beta1 * m(i) + (1 - beta1) * g;
    v(i) = beta2 * v(i) + (1 - beta2) * g * g;
    const T first = m(i) / (1 - std::pow(beta1, T(t))), second = v(i) / (1 - std::pow(beta2, T(t)));
    parameter(i) -= learning_rate * (weight_decay * parameter(i) + first / (std::sqrt(second) + epsilon));
  });
}

// √ Σ_tensors Σ g²
template <class T>
T GlobalNorm(const std::vector<View<T>>& gradients) {
  T sum = 0;
  for (const View<T>& g : gradients) ForEach(g.dims, [&](const Indices& i) { sum += g(i) * g(i); });
  return std::sqrt(sum);
}

}  // namespace heedful::reference
