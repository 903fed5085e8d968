// Cross entropy of one row of logits with a target, and its gradient.
// Included inside each instruction set's anonymous namespace.

// Σ exp(x − m) per lane, relative to the lane's maximum m so far (Milakov & Gimelshein 2018, "Online
// normalizer calculation for softmax"): a row, or one piece of it after another, is read once. When a maximum
// grows, the sum before is scaled down.
struct OnlineSum {
  Vec maximum = Set1(-3.402823466e38f);  // −∞ is e^−∞ = 0 relative to it
  Vec sum = Zero();

  inline __attribute__((always_inline)) void Add(const float* x, int64_t n) {
    constexpr int kPacks = 4;
    // Floats. From memory the arithmetic takes as long as the reading, and must not wait for it.
    constexpr int64_t kAhead = 4096;
    constexpr int64_t kPackSize = kPackVectors * Vec::kLanes, kBlock = kPacks * kPackSize;
    int64_t i = 0;
    for (; i + kBlock <= n; i += kBlock) {
      auto m = Each<Pack<kPackVectors>, kPackVectors>([&](int) { return maximum; });
      Unroll<kPacks>([&](auto j) {
        Packed{}.Ask(x + i + kAhead + j * kPackSize);
        m = Max(Packed{}.Read(x + i + j * kPackSize), m);
      });
      Vec larger = m.v[0];
      Unroll<kPackVectors - 1>([&](auto k) { larger = Max(larger, m.v[k + 1]); });
      auto s = Each<Pack<kPackVectors>, kPackVectors>([](int) { return Zero(); });
      Unroll<kPacks>([&](auto j) {
        s = s + ExpDown<Pack<kPackVectors>>(Packed{}.Read(x + i + j * kPackSize) - larger);
      });
      Vec total = s.v[0];
      Unroll<kPackVectors - 1>([&](auto k) { total = total + s.v[k + 1]; });
      sum = Fma(sum, ExpDown<Vec>(maximum - larger), total);
      maximum = larger;
    }
    ForLanes(n - i, [&](int64_t k, auto lanes) {
      const Vec v = lanes.Keep(lanes.Read(x + i + k), Set1(-kInfinity));
      const Vec larger = Max(v, maximum);
      sum = Fma(sum, ExpDown<Vec>(maximum - larger), ExpDown<Vec>(v - larger));
      maximum = larger;
    });
  }

  // ln Σ exp x; NaN with a NaN or +∞, or when all was −∞.
  inline double Log() const {
    const float m = ReduceMax(maximum);
    const double s = ReduceAdd(sum * ExpDown<Vec>(maximum - Set1(m)));
    return s == 0 ? static_cast<double>(__builtin_nanf("")) : static_cast<double>(m) + __builtin_log(s);
  }
};

// −Σ_c q_c · log softmax(x)_c with q = (1 − smoothing) · onehot(target) + smoothing / n, that is
//   lse − (1 − smoothing) · x[target] − smoothing · Σ x / n,  *lse = ln Σ exp x.
// 0 ≤ target < n. Without smoothing only x[target] enters beside lse, so that other logits may be −∞.
// Label smoothing as Szegedy et al. 2016.
float CrossEntropy(const float* x, int64_t target, float smoothing, int64_t n, float* lse) {
  OnlineSum online;
  online.Add(x, n);
  const double log_sum = online.Log();
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
  // One vector at a time: from memory packs take a quarter longer.
  ForLanes(n, [=](int64_t i, auto lanes) {
    lanes.Write(dx + i, s * (ExpDown<Vec>(lanes.Read(x + i) - l) - uniform));
  });
  dx[target] -= scale * (1.0f - smoothing);
}
