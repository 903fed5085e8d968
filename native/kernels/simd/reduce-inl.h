// Reductions of a contiguous array. Included inside each instruction set's anonymous namespace.

// Σ x, by Sum() of lanes-inl.h.
float SumKernel(const float* x, int64_t n) {
  return static_cast<float>(Sum(n, [=](int64_t i, auto lanes) { return lanes.Read(x + i); }));
}

// max x; NaN if any is; −∞ when n = 0.
float MaximumKernel(const float* x, int64_t n) { return RowMaximum(x, n); }

// min x; NaN if any is; ∞ when n = 0.
float MinimumKernel(const float* x, int64_t n) {
  float lanes[Vec::kLanes];
  Store(lanes, Fold(
                   0, n, Set1(kInfinity), [=](int64_t i, auto l) { return l.Read(x + i); }, Minimum));
  float m = lanes[0];
  for (int i = 1; i < Vec::kLanes; ++i) m = lanes[i] < m || lanes[i] != lanes[i] ? lanes[i] : m;
  return m;
}

// Σ x².
double SumOfSquares(const float* x, int64_t n) {
  return Sum(n, [=](int64_t i, auto lanes) {
    const Vec v = lanes.Read(x + i);
    return v * v;
  });
}

// y += x.
void Accumulate(const float* x, float* y, int64_t n) {
  ForLanes(n, [=](int64_t i, auto lanes) { lanes.Write(y + i, lanes.Read(y + i) + lanes.Read(x + i)); });
}
