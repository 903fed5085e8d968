// Reductions of a contiguous array. Included inside each instruction set's anonymous namespace.

// Σ x, by Sum() of lanes-inl.h.
float SumKernel(const float* x, int64_t n) {
  return static_cast<float>(Sum(n, [=](int64_t i, auto lanes) { return lanes.Read(x + i); }));
}

// The extreme of the elements, by a merge that keeps NaN; `neutral` when n = 0.
template <class Merge>
inline float Extreme(const float* x, int64_t n, float neutral, Merge&& merge) {
  Vec m = Fold(
      0, n, Set1(neutral), [=](int64_t i, auto lanes) { return lanes.Read(x + i); }, merge);
  // The upper half of the lanes onto the lower, and so on.
  float lanes[2 * Vec::kLanes];
  Store(lanes + Vec::kLanes, Set1(neutral));
  for (int step = Vec::kLanes / 2; step > 0; step /= 2) {
    Store(lanes, m);
    m = merge(m, Load(lanes + step));
  }
  Store(lanes, m);
  return lanes[0];
}

// max x; NaN if any is; −∞ when n = 0.
float MaximumKernel(const float* x, int64_t n) {
  return Extreme(x, n, -kInfinity, [](const auto& a, const auto& b) { return Maximum(a, b); });
}

// min x; NaN if any is; ∞ when n = 0.
float MinimumKernel(const float* x, int64_t n) {
  return Extreme(x, n, kInfinity, [](const auto& a, const auto& b) { return Minimum(a, b); });
}

// Σ x².
double SumOfSquares(const float* x, int64_t n) {
  return Sum(n, [=](int64_t i, auto lanes) {
    const auto v = lanes.Read(x + i);
    return v * v;
  });
}

// y += x.
void Accumulate(const float* x, float* y, int64_t n) {
  ForLanes(n, [=](int64_t i, auto lanes) { lanes.Write(y + i, lanes.Read(y + i) + lanes.Read(x + i)); });
}
