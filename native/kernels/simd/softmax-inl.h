// Softmax over rows and its gradient. A row is meant to be in cache after it was read first.
// Included inside each instruction set's anonymous namespace.

// y[c] = exp(x[c] − max) / Σ exp(x − max), or its logarithm x[c] − max − ln Σ exp(x − max). y may be x.
// A row with a NaN, with +∞, or of nothing but −∞ becomes NaN.
//
// Short rows go together, kRowsTogether of them, a vector of each at a time, so that one's arithmetic fills
// the time in which another's lanes come together. Each is computed as if alone.

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

// e^(from − to), 1 without much ado where they are the same.
inline double Rescale(float from, float to) {
  return from == to ? 1.0 : __builtin_exp(static_cast<double>(from) - static_cast<double>(to));
}

// A long row is read from memory once: a block of it after another, which stays in the nearest cache,
// relative to the maximum so far, while the next one is asked for; a last pass brings all to the same
// maximum.
inline void SoftmaxLong(const float* x, float* y, int64_t n, bool log) {
  constexpr int64_t kBlock = 2048, kMostBlocks = 64;
  const int64_t spread = (n + kMostBlocks - 1) / kMostBlocks, block = spread > kBlock ? spread : kBlock;
  float maxima[kMostBlocks], maximum = kLowest;
  double sum = 0;
  // body(b, begin, count)
  const auto for_blocks = [=](auto&& body) __attribute__((always_inline)) {
    int64_t b = 0;
    for (int64_t begin = 0; begin < n; begin += block, ++b)
      body(b, begin, n - begin < block ? n - begin : block);
  };
  for_blocks([&](int64_t b, int64_t begin, int64_t count) __attribute__((always_inline)) {
    const float* const from = x + begin;
    const Vec largest = Fold(
        0, count, Set1(maximum), [=](int64_t i, auto lanes) { return lanes.Read(from + i); },
        [](auto m, auto v) { return Max(v, m); });
    const float before = maximum;
    maximum = maxima[b] = ReduceMax(largest);
    const Vec m = Set1(maximum);
    const auto exponential = [=](int64_t i, auto lanes) __attribute__((always_inline)) {
      lanes.Ask(from + i + block);
      return ExpDown(lanes.Read(from + i) - m);
    };
    float* const to = y + begin;
    if (b > 0) sum *= Rescale(before, maximum);
    sum += log ? Sum(count, exponential)
               : Sum(
                     count, [=](int64_t i, auto lanes) __attribute__((always_inline)) {
                       const auto e = exponential(i, lanes);
                       lanes.Write(to + i, e);
                       return e;
                     });
  });
  if (log) {
    const Vec m = Set1(maximum), log_sum = Set1(static_cast<float>(__builtin_log(sum)));
    ForPacks(n, [=](int64_t i, auto lanes) { lanes.Write(y + i, lanes.Read(x + i) - m - log_sum); });
    return;
  }
  for_blocks([&](int64_t b, int64_t begin, int64_t count) __attribute__((always_inline)) {
    const Vec scale = Set1(static_cast<float>(Rescale(maxima[b], maximum) / sum));
    float* const to = y + begin;
    ForPacks(count, [=](int64_t i, auto lanes) { lanes.Write(to + i, lanes.Read(to + i) * scale); });
  });
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
