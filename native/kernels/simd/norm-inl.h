// Layer norm (Ba et al. 2016) and RMS norm (Zhang & Sennrich 2019) of a row, with the residual addition
// before it, and the gradient. Included inside each instruction set's anonymous namespace.

// s = x + residual, stored to `sum` when given; y = (s − mean) · rstd ⊙ weight + bias.
//   mean = Σ s / n (0 unless center), rstd = 1 / √(Σ (s − mean)² / n + ε); two passes, as the difference of Σ
//   s² and n·mean² would cancel.
// residual, weight, bias, sum, mean may be nullptr. y and sum may be x or residual, as long as they differ
// from each other. Sums: Sum() of lanes-inl.h; mean and variance in double after that.
void Norm(const float* x, const float* residual, const float* weight, const float* bias, float* sum, float* y,
          float* mean, float* rstd, int64_t n, float epsilon, bool center) {
  if (sum) {
    ForLanes(n, [=](int64_t i, auto lanes) {
      const Vec s = lanes.Read(x + i);
      lanes.Write(sum + i, residual ? s + lanes.Read(residual + i) : s);
    });
    x = sum;
    residual = nullptr;
  }
  const auto input = [=](int64_t i, auto lanes) __attribute__((always_inline)) {
    const Vec s = lanes.Read(x + i);
    return residual ? s + lanes.Read(residual + i) : s;
  };
  const double count = n > 0 ? static_cast<double>(n) : 1.0;
  float average = 0;
  if (center) average = static_cast<float>(Sum(n, input) / count);
  const Vec m = Set1(average);
  const double squares = Sum(
      n, [=](int64_t i, auto lanes) __attribute__((always_inline)) {
        const Vec d = input(i, lanes) - m;
        return d * d;
      });
  const float scale =
      static_cast<float>(1.0 / __builtin_sqrt(squares / count + static_cast<double>(epsilon)));
  const Vec r = Set1(scale);
  ForLanes(n, [=](int64_t i, auto lanes) {
    Vec v = (input(i, lanes) - m) * r;
    if (weight) v = v * lanes.Read(weight + i);
    if (bias) v = v + lanes.Read(bias + i);
    lanes.Write(y + i, v);
  });
  if (mean) *mean = average;
  *rstd = scale;
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
