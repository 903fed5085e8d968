// Layer norm (Ba et al. 2016) and RMS norm (Zhang & Sennrich 2019) of a row, with the residual addition
// before it, and the gradient. Included inside each instruction set's anonymous namespace.

// s = x + residual, stored to `sum` when given; y = (s − mean) · rstd ⊙ weight + bias.
//   mean = Σ s / n (0 unless center), rstd = 1 / √(Σ (s − mean)² / n + ε); two passes, as the difference of Σ
//   s² and n·mean² would cancel.
// residual, weight, bias, sum, mean may be nullptr. y and sum may be x or residual, as long as they differ
// from each other. Sums: Sum() of lanes-inl.h; mean and variance in double after that.
//
// Rows are independent, and long enough that a core sees little beyond one: kNormRows short ones go together,
// so that one's arithmetic fills the time in which another's sums come together. Each is computed as if
// alone.
constexpr int64_t kShortRow =
    1024;  // so many floats of kNormRows rows, read and written, fit into the nearest cache

// Σ s of one row, stored on the way where there is something to add: then *x is where.
inline double SumRow(const NormRow& row, const float** x, int64_t n, bool needed) {
  const float *from = row.x, *residual = row.residual;
  float* const sum = row.sum ? row.sum : row.y;
  *x = row.sum || residual ? sum : from;
  if (residual) {
    return Sum(
        n, [=](int64_t i, auto lanes) __attribute__((always_inline)) {
          const Vec s = lanes.Read(from + i) + lanes.Read(residual + i);
          lanes.Write(sum + i, s);
          return s;
        });
  }
  if (row.sum) ForLanes(n, [=](int64_t i, auto lanes) { lanes.Write(sum + i, lanes.Read(from + i)); });
  return needed ? Sum(n, [=](int64_t i, auto lanes) { return lanes.Read(from + i); }) : 0.0;
}

template <int kRows>
inline void NormTogether(const NormRow* rows, const float* weight, const float* bias, int64_t n,
                         float epsilon, bool center) {
  const double count = n > 0 ? static_cast<double>(n) : 1.0;
  const float* x[kRows];
  float mean[kRows], rstd[kRows];
  Unroll<kRows>([&](auto r) {
    const double sum = SumRow(rows[r], &x[r], n, center);
    mean[r] = center ? static_cast<float>(sum / count) : 0.0f;
  });
  Unroll<kRows>([&](auto r) {
    const float* const from = x[r];
    const Vec m = Set1(mean[r]);
    const double squares = Sum(
        n, [=](int64_t i, auto lanes) __attribute__((always_inline)) {
          const Vec d = lanes.Read(from + i) - m;
          return d * d;
        });
    rstd[r] = static_cast<float>(1.0 / __builtin_sqrt(squares / count + static_cast<double>(epsilon)));
  });
  Unroll<kRows>([&](auto r) {
    const float* const from = x[r];
    float* const y = rows[r].y;
    const Vec m = Set1(mean[r]), scale = Set1(rstd[r]);
    if (weight && bias) {
      ForLanes(n, [=](int64_t i, auto lanes) {
        lanes.Write(y + i,
                    Fma((lanes.Read(from + i) - m) * scale, lanes.Read(weight + i), lanes.Read(bias + i)));
      });
    } else {
      ForLanes(n, [=](int64_t i, auto lanes) {
        Vec v = (lanes.Read(from + i) - m) * scale;
        if (weight) v = v * lanes.Read(weight + i);
        if (bias) v = v + lanes.Read(bias + i);
        lanes.Write(y + i, v);
      });
    }
    if (rows[r].mean) *rows[r].mean = mean[r];
    *rows[r].rstd = rstd[r];
  });
}

void Norm(const NormRow* rows, int count, const float* weight, const float* bias, int64_t n, float epsilon,
          bool center) {
  if (n <= kShortRow) {
    for (; count >= kNormRows; count -= kNormRows, rows += kNormRows)
      NormTogether<kNormRows>(rows, weight, bias, n, epsilon, center);
  }
  for (; count > 0; --count, ++rows) NormTogether<1>(rows, weight, bias, n, epsilon, center);
}

// dx = rstd · (g − [mean(g)] − x̂ · mean(g ⊙ x̂)) + gradient_residual with g = dy ⊙ weight, x̂ = (x − mean) ·
// rstd; d_weight += dy ⊙ x̂, d_bias += dy. [mean(g)] only when center. weight, gradient_residual, d_weight and
// d_bias may be nullptr; dx may be dy, x or gradient_residual.
void NormGradient(const float* dy, const float* x, const float* weight, float mean, float rstd,
                  const float* gradient_residual, float* dx, float* d_weight, float* d_bias, int64_t n,
                  bool center) {
  const Vec m = Set1(mean), r = Set1(rstd);
  const auto gradient = [=](int64_t i, auto lanes) __attribute__((always_inline)) {
    const Vec g = lanes.Read(dy + i);
    return weight ? g * lanes.Read(weight + i) : g;
  };
  const double count = static_cast<double>(n);
  float mean_g = 0;
  if (center) mean_g = static_cast<float>(Sum(n, gradient) / count);
  const double dot = Sum(
      n, [=](int64_t i, auto lanes)
             __attribute__((always_inline)) { return gradient(i, lanes) * ((lanes.Read(x + i) - m) * r); });
  const Vec g_mean = Set1(mean_g), gx_mean = Set1(static_cast<float>(dot / count));
  ForLanes(n, [=](int64_t i, auto lanes) {
    const Vec d = lanes.Read(dy + i), normal = (lanes.Read(x + i) - m) * r;
    const Vec g = weight ? d * lanes.Read(weight + i) : d;
    Vec v = r * Fnma(normal, gx_mean, g - g_mean);
    if (gradient_residual) v = v + lanes.Read(gradient_residual + i);
    lanes.Write(dx + i, v);
    if (d_weight) lanes.Write(d_weight + i, Fma(d, normal, lanes.Read(d_weight + i)));
    if (d_bias) lanes.Write(d_bias + i, lanes.Read(d_bias + i) + d);
  });
}
