// One token of a row of logits from the formula: all of them sorted.
//
//   w[i] = exp((x[i] − max) / temperature), ranked by x, of equals the first one first. Kept: the first topK;
//   of these the fewest from the first on whose sum is at least topP · Σ w; of these those with w ≥ minP. The
//   token is the first kept one, by i, with Σ_{j ≤ i} w[j] > uniform · Σ w.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "kernels/reference/strided.h"

namespace heedful::reference {

struct SampleRule {
  double temperature;
  int64_t top_k;
  double top_p, min_p, uniform;
};

// −1 where a logit is NaN or the largest is infinite.
template <class T>
int64_t Sample(const View<T>& logits, int64_t row, const SampleRule& rule) {
  const int64_t n = logits.dims[1];
  std::vector<int64_t> ids(n);
  std::iota(ids.begin(), ids.end(), int64_t{0});
  for (int64_t i : ids) {
    if (std::isnan(logits({row, i}))) return -1;
  }
  std::stable_sort(ids.begin(), ids.end(), [&](int64_t a, int64_t b) {
    return logits({row, a}) > logits({row, b});
  });
  const double max = logits({row, ids[0]});
  if (std::isinf(max)) return -1;
  if (rule.temperature == 0) return ids[0];
  ids.resize(std::min(n, rule.top_k));
  std::vector<double> w(n, 0.0);
  double whole = 0;
  for (int64_t i : ids) whole += w[i] = std::exp((double(logits({row, i})) - max) / rule.temperature);
  double reached = 0, kept = 0;
  int64_t rank = 0;
  for (int64_t i : ids) {
    const bool in = (rule.top_p >= 1 || rank++ == 0 || reached < rule.top_p * whole) && w[i] >= rule.min_p;
    reached += w[i];
    if (!in) w[i] = 0;
    kept += w[i];
  }
  double left = rule.uniform * kept;
  int64_t last = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (w[i] == 0) continue;
    last = i;
    if ((left -= w[i]) < 0) break;
  }
  return last;
}

}  // namespace heedful::reference
