// Attention and its gradient from the formula: a full row of scores, sums in double.
//
//   s[j] = scale · Σ_d q[b, h, i, d] · k[b, g, j, d],  g = h / (heads / key-value heads)
//   p[j] = exp(s[j]) / Σ exp(s)  over j < seen(b, i)
//   o[b, h, i, e] = Σ_j p[j] · v[b, g, j, e],  lse[b, h, i] = ln Σ_j exp(s[j])
//
// seen is a callable: how many keys query i of sequence b sees. A query without keys gives o = 0, lse = −∞.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/reference/view.h"

namespace heedful::reference {

// The scores of query i of head h for the keys that it sees.
template <class T>
std::vector<double> AttentionScores(const View4<T>& q, const View4<T>& k, int64_t b, int64_t h, int64_t g,
                                    int64_t i, int64_t seen, double scale) {
  std::vector<double> scores(seen);
  for (int64_t j = 0; j < seen; ++j) {
    for (int64_t d = 0; d < q.dims[3]; ++d) scores[j] += double(q(b, h, i, d)) * double(k(b, g, j, d));
    scores[j] *= scale;
  }
  return scores;
}

// lse (may be null) is contiguous.
template <class T, class Seen>
void Attention(const View4<T>& q, const View4<T>& k, const View4<T>& v, Seen&& seen, const View4<T>& o,
               T* lse, double scale) {
  const int64_t heads = q.dims[1], queries = q.dims[2];
  for (int64_t b = 0; b < q.dims[0]; ++b) {
    for (int64_t h = 0; h < heads; ++h) {
      const int64_t g = h / (heads / k.dims[1]);
      for (int64_t i = 0; i < queries; ++i) {
        std::vector<double> p = AttentionScores(q, k, b, h, g, i, seen(b, i), scale);
        const double max = p.empty() ? 0 : *std::max_element(p.begin(), p.end());
        double sum = 0;
        for (double& x : p) sum += x = std::exp(x - max);
        for (int64_t e = 0; e < v.dims[3]; ++e) {
          double value = 0;
          for (size_t j = 0; j < p.size(); ++j) value += p[j] / sum * double(v(b, g, j, e));
          o(b, h, i, e) = static_cast<T>(value);
        }
        if (!lse) continue;
        lse[(b * heads + h) * queries + i] =
            static_cast<T>(p.empty() ? -std::numeric_limits<double>::infinity() : max + std::log(sum));
      }
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

// With p from lse:  dV[j] = Σ_i p[i, j] · dO[i];  dP = dO · vᵀ;  dS = p ⊙ (dP − Σ_e dO · o) · scale;
// dQ[i] = Σ_j dS[i, j] · k[j];  dK[j] = Σ_i dS[i, j] · q[i].
template <class T, class Seen>
void AttentionGradient(const View4<T>& q, const View4<T>& k, const View4<T>& v, const View4<T>& o,
                       const T* lse, const View4<T>& d_o, Seen&& seen, const View4<T>& d_q,
                       const View4<T>& d_k, const View4<T>& d_v, double scale) {
  SetZero(d_q);
  SetZero(d_k);
  SetZero(d_v);
  const int64_t heads = q.dims[1], queries = q.dims[2];
  for (int64_t b = 0; b < q.dims[0]; ++b) {
    for (int64_t h = 0; h < heads; ++h) {
      const int64_t g = h / (heads / k.dims[1]);
      for (int64_t i = 0; i < queries; ++i) {
        const std::vector<double> s = AttentionScores(q, k, b, h, g, i, seen(b, i), scale);
        double delta = 0;
        for (int64_t e = 0; e < v.dims[3]; ++e) delta += double(d_o(b, h, i, e)) * double(o(b, h, i, e));
        for (int64_t j = 0; j < static_cast<int64_t>(s.size()); ++j) {
          const double p = std::exp(s[j] - double(lse[(b * heads + h) * queries + i]));
          double d_p = 0;
          for (int64_t e = 0; e < v.dims[3]; ++e) {
            d_p += double(d_o(b, h, i, e)) * double(v(b, g, j, e));
            d_v(b, g, j, e) += static_cast<T>(p * double(d_o(b, h, i, e)));
          }
          const double d_s = p * (d_p - delta) * scale;
          for (int64_t d = 0; d < q.dims[3]; ++d) {
            d_q(b, h, i, d) += static_cast<T>(d_s * double(k(b, g, j, d)));
            d_k(b, g, j, d) += static_cast<T>(d_s * double(q(b, h, i, d)));
          }
        }
      }
    }
  }
}

}  // namespace heedful::reference
