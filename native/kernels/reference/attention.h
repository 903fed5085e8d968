// Attention and its gradient from the formula: a full row of scores, sums in double.
//
//   s[j] = scale · Σ_d q[b, h, i, d] · k[b, g, j, d],  g = h / (heads / key-value heads)
//   s[j] = c · tanh(s[j] / c) with a soft cap c;  s[j] += bias[b, h, i, j] − slope[h] · |position + i − j|
//   p[j] = exp(s[j]) / Σ exp(s)  over the keys with  −left ≤ j − position − i ≤ right
//   o[b, h, i, e] = Σ_j p[j] · v[b, g, j, e],  lse[b, h, i] = ln Σ_j exp(s[j])
//
// i and j count from the beginnings of a sequence. A query without keys gives o = 0, lse = −∞.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/reference/strided.h"
#include "kernels/reference/view.h"

namespace heedful::reference {

template <class T>
struct AttentionProblem {
  View4<T> q, k, v;
  View4<T> bias;   // data may be nullptr; dimensions of size 1 broadcast
  View<T> slopes;  // the same
  double scale, softcap;
};

struct AttentionSequence {
  int64_t batch, query, queries, key, keys;
  int64_t position, left, right;
};

// A score before and after all that is added; its derivative by scale · q·kᵀ.
struct Score {
  int64_t j;
  double value, derivative, p;
};

// Those of the keys that query i of a sequence sees, and their probabilities. Gives lse.
template <class T>
double AttentionRow(const AttentionProblem<T>& a, const AttentionSequence& s, int64_t h, int64_t i,
                    std::vector<Score>* row) {
  const int64_t g = h / (a.q.dims[1] / a.k.dims[1]), at = s.position + i;
  double max = -std::numeric_limits<double>::infinity(), sum = 0;
  bool hidden = true;  // all of them, by a bias
  row->clear();
  for (int64_t j = std::max<int64_t>(0, at - s.left); j < std::min(s.keys, at + s.right + 1); ++j) {
    double x = 0, derivative = 1;
    for (int64_t d = 0; d < a.q.dims[3]; ++d)
      x += double(a.q(s.batch, h, s.query + i, d)) * double(a.k(s.batch, g, s.key + j, d));
    x *= a.scale;
    if (a.softcap > 0) {
      const double t = std::tanh(x / a.softcap);
      x = a.softcap * t;
      derivative = 1 - t * t;
    }
    if (a.slopes.data) x -= double(a.slopes.data[h * a.slopes.strides[0]]) * std::abs(double(at - j));
    if (a.bias.data)
      x += double(a.bias(a.bias.dims[0] == 1 ? 0 : s.batch, a.bias.dims[1] == 1 ? 0 : h, i, j));
    max = std::max(max, x);
    hidden = hidden && std::isinf(x) && x < 0;
    row->push_back({j, x, derivative, 0});
  }
  if (hidden) {
    row->clear();
    return max;
  }
  for (Score& x : *row) sum += x.p = std::exp(x.value - max);
  for (Score& x : *row) x.p /= sum;
  return max + std::log(sum);
}

template <class T>
T& At(const View<T>& lse, int64_t b, int64_t h, int64_t i) {
  return lse.data[b * lse.strides[0] + h * lse.strides[1] + i * lse.strides[2]];
}

// lse [b, h, i] and probabilities may have no data.
template <class T>
void Attention(const AttentionProblem<T>& a, const AttentionSequence& s, const View4<T>& o,
               const View<T>& lse, const View4<T>& probabilities) {
  std::vector<Score> row;
  for (int64_t h = 0; h < a.q.dims[1]; ++h) {
    const int64_t g = h / (a.q.dims[1] / a.k.dims[1]);
    for (int64_t i = 0; i < s.queries; ++i) {
      const double sum = AttentionRow(a, s, h, i, &row);
      for (int64_t e = 0; e < a.v.dims[3]; ++e) {
        double value = 0;
        for (const Score& x : row) value += x.p * double(a.v(s.batch, g, s.key + x.j, e));
        o(s.batch, h, s.query + i, e) = static_cast<T>(value);
      }
      if (lse.data) At(lse, s.batch, h, s.query + i) = static_cast<T>(sum);
      if (!probabilities.data) continue;
      for (int64_t j = 0; j < probabilities.dims[3]; ++j) probabilities(s.batch, h, s.query + i, j) = 0;
      for (const Score& x : row) probabilities(s.batch, h, s.query + i, s.key + x.j) = static_cast<T>(x.p);
    }
  }
}

template <class T>
void SetZero(const View4<T>& x) {
  for (int64_t b = 0; b < x.dims[0]; ++b) {
    for (int64_t h = 0; h < x.dims[1]; ++h) {
      for (int64_t t = 0; t < x.dims[2]; ++t) {
        for (int64_t d = 0; d < x.dims[3]; ++d) x(b, h, t, d) = 0;
      }
    }
  }
}

// Adds to the gradients (d_bias may have no data), with p from lse:  dV[j] += Σ_i p[i, j] · dO[i];
//   dBias = p ⊙ (dO · vᵀ − Σ_e dO · o);  dS = dBias · scale · derivative
//   dQ[i] += Σ_j dS[i, j] · k[j];  dK[j] += Σ_i dS[i, j] · q[i].
template <class T>
void AttentionGradient(const AttentionProblem<T>& a, const AttentionSequence& s, const View4<T>& o,
                       const View<T>& lse, const View4<T>& d_o, const View4<T>& d_q, const View4<T>& d_k,
                       const View4<T>& d_v, const View4<T>& d_bias) {
  std::vector<Score> row;
  const int64_t b = s.batch;
  for (int64_t h = 0; h < a.q.dims[1]; ++h) {
    const int64_t g = h / (a.q.dims[1] / a.k.dims[1]);
    for (int64_t i = 0; i < s.queries; ++i) {
      const int64_t query = s.query + i;
      AttentionRow(a, s, h, i, &row);
      const double sum = double(At(lse, b, h, query));
      double delta = 0;
      for (int64_t e = 0; e < a.v.dims[3]; ++e)
        delta += double(d_o(b, h, query, e)) * double(o(b, h, query, e));
      for (const Score& x : row) {
        const int64_t key = s.key + x.j;
        const double p = std::exp(x.value - sum);
        double d_p = 0;
        for (int64_t e = 0; e < a.v.dims[3]; ++e) {
          d_p += double(d_o(b, h, query, e)) * double(a.v(b, g, key, e));
          d_v(b, g, key, e) += static_cast<T>(p * double(d_o(b, h, query, e)));
        }
        const double d_score = p * (d_p - delta), d_s = d_score * x.derivative * a.scale;
        if (d_bias.data)
          d_bias(d_bias.dims[0] == 1 ? 0 : b, d_bias.dims[1] == 1 ? 0 : h, i, x.j) += static_cast<T>(d_score);
        for (int64_t d = 0; d < a.q.dims[3]; ++d) {
          d_q(b, h, query, d) += static_cast<T>(d_s * double(a.k(b, g, key, d)));
          d_k(b, g, key, d) += static_cast<T>(d_s * double(a.q(b, h, query, d)));
        }
      }
    }
  }
}

}  // namespace heedful::reference
