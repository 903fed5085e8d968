// Mixtures of experts and their gradients, from the definitions in ops/mixture_of_experts.cc.
#pragma once

#include <vector>

#include "kernels/reference/elementwise.h"
#include "kernels/reference/strided.h"

namespace heedful::reference {

// The `top` largest of the probabilities of one row, the largest first, and their weights. NaN is taken last.
template <class T>
void ChooseExperts(const T* probabilities, int64_t experts, int64_t top, bool normalize, int32_t* chosen,
                   T* weights) {
  T sum = 0;
  for (int64_t j = 0; j < top; ++j) {
    int64_t best = -1;
    for (int64_t e = 0; e < experts; ++e) {
      bool taken = false;
      for (int64_t i = 0; i < j; ++i) taken = taken || chosen[i] == e;
      if (!taken &&
          (best < 0 || probabilities[e] > probabilities[best] || probabilities[best] != probabilities[best]))
        best = e;
    }
    chosen[j] = static_cast<int32_t>(best);
    weights[j] = probabilities[best];
    sum += weights[j];
  }
  if (normalize) {
    for (int64_t j = 0; j < top; ++j) weights[j] /= sum;
  }
}

// Of one row: with w = p/s, s = Σ p over the chosen, dp = (dw − Σ dw ⊙ w)/s; else dp = dw; 0 for the rest.
template <class T>
void ProbabilityGradient(const T* probabilities, int64_t experts, int64_t top, bool normalize,
                         const int32_t* chosen, const T* weights, const T* d_weights, T* gradient) {
  for (int64_t e = 0; e < experts; ++e) gradient[e] = 0;
  T sum = 0, mean = 0;
  for (int64_t j = 0; j < top; ++j) {
    sum += probabilities[chosen[j]];
    mean += d_weights[j] * weights[j];
  }
  for (int64_t j = 0; j < top; ++j)
    gradient[chosen[j]] = normalize ? (d_weights[j] - mean) / sum : d_weights[j];
}

// One row, one expert: its projections and f(gate) ⊙ up.
template <class T>
struct ExpertRow {
  ExpertRow(View<T> x, View<T> gate_up, Unary f, int64_t t, int64_t e)
      : gate(gate_up.dims[1] / 2), up(gate.size()), inner(gate.size()) {
    const int64_t size = static_cast<int64_t>(gate.size());
    for (int64_t i = 0; i < size; ++i) {
      for (int64_t k = 0; k < x.dims[1]; ++k) {
        gate[i] += gate_up({e, i, k}) * x({t, k});
        up[i] += gate_up({e, size + i, k}) * x({t, k});
      }
      inner[i] = Value(f, gate[i]) * up[i];
    }
  }
  std::vector<T> gate, up, inner;
};

// fn(row, expert, weight, slot) for each row and each expert that it has.
template <class T, class F>
void ForChosen(View<T> probabilities, int64_t top, bool normalize, F fn) {
  const int64_t experts = probabilities.dims[1];
  std::vector<int32_t> chosen(top);
  std::vector<T> row(experts), weights(top);
  for (int64_t t = 0; t < probabilities.dims[0]; ++t) {
    for (int64_t e = 0; e < experts; ++e) row[e] = probabilities({t, e});
    ChooseExperts(row.data(), experts, top, normalize, chosen.data(), weights.data());
    for (int64_t j = 0; j < top; ++j) fn(t, chosen[j], weights[j], j);
  }
}

template <class T>
void MixtureOfExperts(View<T> x, View<T> probabilities, View<T> gate_up, View<T> down, View<T> y, int64_t top,
                      bool normalize, Unary f) {
  ForEach(y.dims, [&](const Indices& index) { y(index) = 0; });
  ForChosen(probabilities, top, normalize, [&](int64_t t, int64_t e, T weight, int64_t) {
    const ExpertRow<T> row(x, gate_up, f, t, e);
    for (int64_t k = 0; k < y.dims[1]; ++k) {
      T sum = 0;
      for (int64_t i = 0; i < down.dims[2]; ++i) sum += down({e, k, i}) * row.inner[i];
      y({t, k}) += weight * sum;
    }
  });
}

template <class T>
void MixtureOfExpertsGradient(View<T> x, View<T> probabilities, View<T> gate_up, View<T> down, View<T> dy,
                              View<T> dx, View<T> d_probabilities, View<T> d_gate_up, View<T> d_down,
                              int64_t top, bool normalize, Unary f) {
  for (const View<T>* output : {&dx, &d_probabilities, &d_gate_up, &d_down})
    ForEach(output->dims, [&](const Indices& index) { (*output)(index) = 0; });
  const int64_t h = x.dims[1], inner = down.dims[2], experts = probabilities.dims[1];
  std::vector<int32_t> chosen(top);
  std::vector<T> p(experts), weights(top), d_weights(top), d_row(experts);
  ForChosen(probabilities, top, normalize, [&](int64_t t, int64_t e, T weight, int64_t j) {
    const ExpertRow<T> row(x, gate_up, f, t, e);
    T d_weight = 0;
    for (int64_t i = 0; i < inner; ++i) {
      T d_inner = 0;
      for (int64_t k = 0; k < h; ++k) {
        d_inner += dy({t, k}) * down({e, k, i});
        d_down({e, k, i}) += weight * dy({t, k}) * row.inner[i];
      }
      d_weight += d_inner * row.inner[i];
      const T d_gate = weight * d_inner * row.up[i] * Derivative(f, row.gate[i]);
      const T d_up = weight * d_inner * Value(f, row.gate[i]);
      for (int64_t k = 0; k < h; ++k) {
        d_gate_up({e, i, k}) += d_gate * x({t, k});
        d_gate_up({e, inner + i, k}) += d_up * x({t, k});
        dx({t, k}) += d_gate * gate_up({e, i, k}) + d_up * gate_up({e, inner + i, k});
      }
    }
    chosen[j] = static_cast<int32_t>(e), weights[j] = weight, d_weights[j] = d_weight;
    if (j + 1 < top) return;
    for (int64_t c = 0; c < experts; ++c) p[c] = probabilities({t, c});
    ProbabilityGradient(p.data(), experts, top, normalize, chosen.data(), weights.data(), d_weights.data(),
                        d_row.data());
    for (int64_t c = 0; c < experts; ++c) d_probabilities({t, c}) = d_row[c];
  });
}

}  // namespace heedful::reference
