// Softmax over rows and its gradient. A row is meant to be in cache after it was read first.
// Included inside each instruction set's anonymous namespace.

// y[c] = exp(x[c] − max) / Σ exp(x − max), or its logarithm x[c] − max − ln Σ exp(x − max). y may be x.
// A row with a NaN, with +∞, or of nothing but −∞ becomes NaN.
//
// Short rows go together, kRowsTogether of them, a vector of each at a time, so that one's arithmetic fills
// the time in which another's lanes come together. Of a long row, what an exponential is taken relative to is
// not the same in all lanes: each lane has its own maximum, and the sums meet at the end. A row is computed
// as if alone.

constexpr int64_t kShortSoftmax = 512;
// −∞ is e^−∞ = 0 relative to it. NaN may be dropped from a maximum; the sum of exponentials is NaN then,
// whatever was subtracted.
constexpr float kLowest = -3.402823466e38f;

template <int kRows>
inline void SoftmaxTogether(const SoftmaxRow* rows, int64_t n, bool log) {
  const float* x[kRows];
  float* y[kRows];
  Unroll<kRows>([&](auto r) {
    x[r] = rows[r].x;
    y[r] = rows[r].y;
  });
  const auto read = [&](int64_t i, auto lanes) __attribute__((always_inline)) {
    return Each<Pack<kRows>, kRows>([&](int r)
                                        __attribute__((always_inline)) { return lanes.Read(x[r] + i); });
  };
  Pack<kRows> m = Each<Pack<kRows>, kRows>([](int) { return Set1(kLowest); });
  ForLanes(
      n, [&](int64_t i, auto lanes)
             __attribute__((always_inline)) { m = Max(lanes.Keep(read(i, lanes), Set1(kLowest)), m); });
  m = Each<Pack<kRows>, kRows>([&](int r) { return Set1(ReduceMax(m.v[r])); });
  Pack<kRows> sum = Each<Pack<kRows>, kRows>([](int) { return Zero(); });
  ForLanes(
      n, [&](int64_t i, auto lanes) __attribute__((always_inline)) {
        const Pack<kRows> e = ExpDown<Pack<kRows>>(read(i, lanes) - m);
        sum = sum + lanes.Keep(e, Zero());
        if (!log)
          Unroll<kRows>([&](auto r) __attribute__((always_inline)) { lanes.Write(y[r] + i, e.v[r]); });
      });
  if (log) {
    const Pack<kRows> log_sum = Each<Pack<kRows>, kRows>(
        [&](int r) { return Set1(static_cast<float>(__builtin_log(ReduceAdd(sum.v[r])))); });
    ForLanes(
        n, [&](int64_t i, auto lanes) __attribute__((always_inline)) {
          const Pack<kRows> v = read(i, lanes) - m - log_sum;
          Unroll<kRows>([&](auto r) __attribute__((always_inline)) { lanes.Write(y[r] + i, v.v[r]); });
        });
    return;
  }
  const Pack<kRows> scale = Each<Pack<kRows>, kRows>([&](int r) { return Set1(1.0f / ReduceAdd(sum.v[r])); });
  ForLanes(
      n, [&](int64_t i, auto lanes) __attribute__((always_inline)) {
        Unroll<kRows>([&](auto r) __attribute__((always_inline)) {
          lanes.Write(y[r] + i, lanes.Read(y[r] + i) * scale.v[r]);
        });
      });
}

inline void SoftmaxLong(const float* x, float* y, int64_t n, bool log) {
  const Vec m = Fold(
      0, n, Set1(kLowest), [=](int64_t i, auto lanes) { return lanes.Read(x + i); },
      [](auto m, auto v) { return Max(v, m); });
  const Vec maximum = Set1(ReduceMax(m));
  if (log) {
    const double sum = Sum(
        n, [=](int64_t i, auto lanes) __attribute__((always_inline)) {
          const auto d = lanes.Read(x + i) - maximum;
          return ExpDown(d);
        });
    const Vec log_sum = Set1(static_cast<float>(__builtin_log(sum)));
    ForLanes(n, [=](int64_t i, auto lanes) { lanes.Write(y + i, lanes.Read(x + i) - maximum - log_sum); });
    return;
  }
  const Vec to_common = ExpDown<Vec>(m - maximum);
  const double sum = Sum(
      n,
      [=](int64_t i, auto lanes) __attribute__((always_inline)) {
        const auto d = lanes.Read(x + i) - m;
        const auto e = ExpDown(d);
        lanes.Write(y + i, e);
        return e;
      },
      to_common);
  const Vec scale = to_common * Set1(static_cast<float>(1.0 / sum));
  ForLanes(n, [=](int64_t i, auto lanes) { lanes.Write(y + i, lanes.Read(y + i) * scale); });
}

void Softmax(const SoftmaxRow* rows, int count, int64_t n, bool log) {
  if (n > kShortSoftmax) {
    for (; count > 0; --count, ++rows) SoftmaxLong(rows->x, rows->y, n, log);
    return;
  }
  for (; count >= kRowsTogether; count -= kRowsTogether, rows += kRowsTogether)
    SoftmaxTogether<kRowsTogether>(rows, n, log);
  for (; count > 0; --count, ++rows) SoftmaxTogether<1>(rows, n, log);
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
