// Softmax over a row and its gradient. The row is meant to be in cache after it was read first.
// Included inside each instruction set's anonymous namespace.
//
// What an exponential is taken relative to need not be the same number in all lanes: each lane has its own
// maximum, and the sums meet at the end. So no exponential waits for the lanes to agree.

// The largest of each lane, at least −FLT_MAX: then −∞ is e^−∞ = 0 relative to it. NaN may be dropped; the
// sum of exponentials is NaN then, whatever was subtracted.
inline Vec LaneMaxima(const float* x, int64_t n) {
  return Fold(
      0, n, Set1(-3.402823466e38f), [=](int64_t i, auto lanes) { return lanes.Read(x + i); },
      [](Vec m, Vec v) { return Max(v, m); });
}

// y[c] = exp(x[c] − max) / Σ exp(x − max), or its logarithm x[c] − max − ln Σ exp(x − max). y may be x.
// A row with a NaN, with +∞, or of nothing but −∞ becomes NaN.
void Softmax(const float* x, float* y, int64_t n, bool log) {
  const Vec m = LaneMaxima(x, n);
  const Vec maximum = Set1(ReduceMax(m));
  if (log) {
    const double sum = Sum(n, [=](int64_t i, auto lanes) { return ExpDown(lanes.Read(x + i) - maximum); });
    const Vec log_sum = Set1(static_cast<float>(__builtin_log(sum)));
    ForLanes(n, [=](int64_t i, auto lanes) { lanes.Write(y + i, lanes.Read(x + i) - maximum - log_sum); });
    return;
  }
  const Vec to_common = ExpDown(m - maximum);
  const double sum = Sum(
      n,
      [=](int64_t i, auto lanes) __attribute__((always_inline)) {
        const Vec e = ExpDown(lanes.Read(x + i) - m);
        lanes.Write(y + i, e);
        return e;
      },
      to_common);
  const Vec scale = to_common * Set1(static_cast<float>(1.0 / sum));
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
