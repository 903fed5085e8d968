// Cross entropy of one row of logits with a target, and its gradient.
// Included inside each instruction set's anonymous namespace.

// −Σ_c q_c · log softmax(x)_c with q = (1 − smoothing) · onehot(target) + smoothing / n, that is
//   lse − (1 − smoothing) · x[target] − smoothing · Σ x / n,  *lse = ln Σ exp x.
// 0 ≤ target < n. Without smoothing only x[target] enters beside lse, so that other logits may be −∞.
// Label smoothing as Szegedy et al. 2016.
float CrossEntropy(const float* x, int64_t target, float smoothing, int64_t n, float* lse) {
  const float maximum = RowMaximum(x, n);
  const Vec m = Set1(maximum);
  const double exponentials = Sum(n, [=](int64_t i, auto lanes) { return Exp(lanes.Read(x + i) - m); });
  const double log_sum = static_cast<double>(maximum) + __builtin_log(exponentials);
  *lse = static_cast<float>(log_sum);
  double loss = log_sum - x[target];
  if (smoothing != 0) {
    const double mean =
        Sum(n, [=](int64_t i, auto lanes) { return lanes.Read(x + i); }) / static_cast<double>(n);
    loss =
        log_sum - (1.0 - static_cast<double>(smoothing)) * x[target] - static_cast<double>(smoothing) * mean;
  }
  return static_cast<float>(loss);
}

// dx = scale · (exp(x − lse) − q). dx may be x.
void CrossEntropyGradient(const float* x, int64_t target, float smoothing, float lse, float scale, float* dx,
                          int64_t n) {
  const Vec l = Set1(lse), s = Set1(scale), uniform = Set1(smoothing / static_cast<float>(n));
  ForLanes(n,
           [=](int64_t i, auto lanes) { lanes.Write(dx + i, s * (Exp(lanes.Read(x + i) - l) - uniform)); });
  dx[target] -= scale * (1.0f - smoothing);
}
