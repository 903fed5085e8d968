// Softmax over a row and its gradient. The row is read three times; it is meant to be in cache after the
// first. Included inside each instruction set's anonymous namespace.

// What softmax subtracts: the largest element, −∞ when n = 0. With NaN in the row it may be any of the
// elements; the sum of exponentials is NaN then, whatever was subtracted.
inline float RowMaximum(const float* x, int64_t n) {
  return ReduceMax(Fold(
      0, n, Set1(-kInfinity), [=](int64_t i, auto lanes) { return lanes.Read(x + i); }, Max));
}

// y[c] = exp(x[c] − max) / Σ exp(x − max), or its logarithm x[c] − max − ln Σ exp(x − max). y may be x.
// A row with a NaN, with +∞, or of nothing but −∞ becomes NaN.
void Softmax(const float* x, float* y, int64_t n, bool log) {
  const float maximum = RowMaximum(x, n);
  const Vec m = Set1(maximum);
  if (log) {
    const double sum = Sum(n, [=](int64_t i, auto lanes) { return Exp(lanes.Read(x + i) - m); });
    const Vec log_sum = Set1(static_cast<float>(__builtin_log(sum)));
    ForLanes(n, [=](int64_t i, auto lanes) { lanes.Write(y + i, lanes.Read(x + i) - m - log_sum); });
    return;
  }
  const double sum = Sum(n, [=](int64_t i, auto lanes) {
    const Vec e = Exp(lanes.Read(x + i) - m);
    lanes.Write(y + i, e);
    return e;
  });
  const Vec scale = Set1(static_cast<float>(1.0 / sum));
  ForLanes(n, [=](int64_t i, auto lanes) { lanes.Write(y + i, lanes.Read(y + i) * scale); });
}

// dx = y ⊙ (dy − Σ dy ⊙ y), or for the logarithm dx = dy − exp(y) · Σ dy. dx may be dy or y.
void SoftmaxGradient(const float* y, const float* dy, float* dx, int64_t n, bool log) {
  if (log) {
    const Vec sum =
        Set1(static_cast<float>(Sum(n, [=](int64_t i, auto lanes) { return lanes.Read(dy + i); })));
    ForLanes(n, [=](int64_t i, auto lanes) {
      lanes.Write(dx + i, Fnma(Exp(lanes.Read(y + i)), sum, lanes.Read(dy + i)));
    });
    return;
  }
  const Vec dot = Set1(static_cast<float>(
      Sum(n, [=](int64_t i, auto lanes) { return lanes.Read(y + i) * lanes.Read(dy + i); })));
  ForLanes(
      n, [=](int64_t i, auto lanes) { lanes.Write(dx + i, lanes.Read(y + i) * (lanes.Read(dy + i) - dot)); });
}
