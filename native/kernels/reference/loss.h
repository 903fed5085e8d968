// Cross entropy with label smoothing and ignored targets, and its gradient.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/reference/softmax.h"
#include "kernels/reference/strided.h"

namespace heedful::reference {

enum class LossReduction : int { none, mean, sum, kCount };

// Targets that count.
inline int64_t CountTargets(const View<int32_t>& targets, int64_t ignore_index) {
  int64_t count = 0;
  ForEach(targets.dims, [&](const Indices& i) { count += targets(i) != ignore_index; });
  return count;
}

// lossᵢ = −Σ_c q_c · (xᵢc − lseᵢ), q = (1 − smoothing) · onehot(targetᵢ) + smoothing / V; 0 for ignored
// targets. loss = lossᵢ, Σ lossᵢ / (number of targets not ignored), or Σ lossᵢ.
template <class T>
void CrossEntropy(View<T> logits, View<int32_t> targets, View<T> loss, View<T> lse, int64_t ignore_index,
                  double smoothing, LossReduction reduction) {
  const int64_t rows = logits.dims[0], n = logits.dims[1];
  T total = 0;
  for (int64_t i = 0; i < rows; ++i) {
    const int32_t target = targets({i});
    T value = 0, log_sum = 0;
    if (target != ignore_index) {
      log_sum = LogSumExp(logits, {i, 0}, n);
      value = (1 - T(smoothing)) * (log_sum - logits({i, target}));
      if (smoothing != 0) {
        for (int64_t c = 0; c < n; ++c) value += T(smoothing) / n * (log_sum - logits({i, c}));
      }
    }
    if (lse.data) lse({i}) = log_sum;
    total += value;
    if (reduction == LossReduction::none) loss({i}) = value;
  }
  if (reduction == LossReduction::sum) loss({}) = total;
  if (reduction == LossReduction::mean) loss({}) = total / T(CountTargets(targets, ignore_index));
}

// dxᵢc = dLossᵢ · (exp(xᵢc − lseᵢ) − q_c), dLossᵢ = dLoss / count for the mean; 0 for ignored targets.
template <class T>
void CrossEntropyGradient(View<T> logits, View<int32_t> targets, View<T> lse, View<T> d_loss,
                          View<T> d_logits, int64_t ignore_index, double smoothing, LossReduction reduction) {
  const int64_t rows = logits.dims[0], n = logits.dims[1];
  const int64_t count = CountTargets(targets, ignore_index);
  for (int64_t i = 0; i < rows; ++i) {
    const int32_t target = targets({i});
    for (int64_t c = 0; c < n; ++c) {
      if (target == ignore_index) {
        d_logits({i, c}) = 0;
        continue;
      }
      T scale = reduction == LossReduction::none ? d_loss({i}) : d_loss({});
      if (reduction == LossReduction::mean) scale /= T(count);
      const T q = (c == target ? 1 - T(smoothing) : T(0)) + T(smoothing) / n;
      d_logits({i, c}) = scale * (std::exp(logits({i, c}) - lse({i})) - q);
    }
  }
}

// The same of logitsᵢ = hiddenᵢ · weightᵀ + bias, and the gradients of the loss: dHidden = D · weight,
// dWeight = Dᵀ · hidden, dBias = Σᵢ Dᵢ, D being that by the logits. bias and the gradients may be absent.
template <class T>
void LinearCrossEntropy(View<T> hidden, View<T> weight, View<int32_t> targets, View<T> bias, View<T> loss,
                        View<T> d_hidden, View<T> d_weight, View<T> d_bias, int64_t ignore_index,
                        double smoothing, LossReduction reduction) {
  const int64_t rows = hidden.dims[0], h = hidden.dims[1], n = weight.dims[0];
  const auto at = [](const View<T>& x, int64_t i, int64_t j) -> T& {
    return x.data[i * x.strides[0] + j * x.strides[1]];
  };
  std::vector<T> values(rows * n), lse_values(rows), gradient(rows * n);
  T one = 1;
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t c = 0; c < n; ++c) {
      T sum = 0;
      for (int64_t k = 0; k < h; ++k) sum += at(hidden, i, k) * at(weight, c, k);
      values[i * n + c] = sum + (bias.data ? bias.data[c] : T(0));
    }
  }
  const View<T> logits{values.data(), {rows, n}, {n, 1}}, lse{lse_values.data(), {rows}, {1}};
  const View<T> d_logits{gradient.data(), {rows, n}, {n, 1}};
  CrossEntropy(logits, targets, loss, lse, ignore_index, smoothing, reduction);
  CrossEntropyGradient(logits, targets, lse, View<T>{&one, {}, {}}, d_logits, ignore_index, smoothing,
                       reduction);
  if (d_hidden.data) std::fill_n(d_hidden.data, rows * h, T(0));
  if (d_weight.data) std::fill_n(d_weight.data, n * h, T(0));
  if (d_bias.data) std::fill_n(d_bias.data, n, T(0));
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t c = 0; c < n; ++c) {
      const T d = gradient[i * n + c];
      if (d_bias.data) d_bias.data[c] += d;
      for (int64_t k = 0; k < h; ++k) {
        if (d_hidden.data) d_hidden.data[i * h + k] += d * at(weight, c, k);
        if (d_weight.data) d_weight.data[c * h + k] += d * at(hidden, i, k);
      }
    }
  }
}

}  // namespace heedful::reference
