// Cross entropy with label smoothing and ignored targets, and its gradient.
#pragma once

#include <cmath>
#include <limits>

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

}  // namespace heedful::reference
