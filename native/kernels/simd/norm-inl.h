// Layer norm (Ba et al. 2016) and RMS norm (Zhang & Sennrich 2019) of a row, with the residual addition
// before it, and the gradient. Included inside each instruction set's anonymous namespace.

// s = x + residual, stored to `sum` when given; y = (s − mean) · rstd ⊙ weight + bias.
//   mean = Σ s / n (0 unless center), rstd = 1 / √(Σ (s − mean)² / n + ε).
// residual, weight, bias, sum, mean may be nullptr. y and sum may be x or residual, as long as they differ
// from each other. Sums: Sum() of lanes-inl.h; mean and variance in double after that.
//
// Up to kShortRow floats a row's lanes are summed in one go, and rows overlap: the second pass of one goes
// with the first pass of the row after the next, so that one streams in while the other streams out, and
// nothing waits for the roots in between. Each is computed as if alone.
constexpr int64_t kShortRow = 1024;  // so many floats of four rows fit into the nearest cache, and leave room

// v ⊙ weight + bias at column i, each of which may be nullptr.
template <class V, class Lanes>
HEEDFUL_INLINE V Affine(const V& v, const float* weight, const float* bias, int64_t i, Lanes lanes) {
  if (weight && bias) return Fma(v, lanes.Read(weight + i), lanes.Read(bias + i));
  if (weight) return v * lanes.Read(weight + i);
  return bias ? v + lanes.Read(bias + i) : v;
}

// Σ a and Σ a·b, as many sums of each as a pack has vectors.
struct TwoSums {
  Pack<kPackVectors> sum = Each<Pack<kPackVectors>, kPackVectors>([](int) { return Zero(); });
  Pack<kPackVectors> products = sum;

  HEEDFUL_INLINE void Add(const Pack<kPackVectors>& a, const Pack<kPackVectors>& b, Packed) {
    sum = sum + a;
    products = Fma(a, b, products);
  }
  template <class Lanes>
  HEEDFUL_INLINE void Add(Vec a, Vec b, Lanes lanes) {
    a = lanes.Keep(a, Zero());
    sum.v[0] = sum.v[0] + a;
    products.v[0] = Fma(a, lanes.Keep(b, Zero()), products.v[0]);
  }
  static HEEDFUL_INLINE double Total(const Pack<kPackVectors>& x) {
    Vec total = x.v[0];
    Unroll<kPackVectors - 1>([&](auto i) { total = total + x.v[i + 1]; });
    return static_cast<double>(ReduceAdd(total));
  }
};

// Where s is to be found after the first pass.
inline float* PlaceOfSum(const NormRow& row) { return row.sum ? row.sum : row.residual ? row.y : nullptr; }

// The first pass of one row and the second of another. Mean and variance are taken in one pass, relative to a
// number c that lies near the mean, that of the first vector: Σ (s − c)² and n·(mean − c)² cancel where c
// lies far off. Then a further pass is made.
template <bool kFirst, bool kSecond>
HEEDFUL_INLINE void NormPasses(const NormRow* first, const NormRow* second, const float* weight,
                               const float* bias, int64_t n, float epsilon, bool center) {
  const float *x = nullptr, *residual = nullptr;
  float* sum = nullptr;
  float near_mean = 0;
  if constexpr (kFirst) {
    x = first->x;
    residual = first->residual;
    sum = PlaceOfSum(*first);
    if (center && n > 0) {
      const int lanes = static_cast<int>(n < Vec::kLanes ? n : Vec::kLanes);
      Vec s = LoadPartial(x, lanes);
      if (residual) s = s + LoadPartial(residual, lanes);
      near_mean = ReduceAdd(s) / static_cast<float>(lanes);
    }
  }
  const float* s2 = nullptr;
  float* y = nullptr;
  Vec mean = Zero(), scale = Zero();
  if constexpr (kSecond) {
    s2 = PlaceOfSum(*second) ? PlaceOfSum(*second) : second->x;
    y = second->y;
    mean = Set1(*second->mean);
    scale = Set1(*second->rstd);
  }
  const Vec c = Set1(near_mean);
  TwoSums sums;
  ForPacks(
      n, [&](int64_t i, auto lanes) __attribute__((always_inline)) {
        if constexpr (kFirst) {
          auto s = lanes.Read(x + i);
          if (residual) s = s + lanes.Read(residual + i);
          if (sum) lanes.Write(sum + i, s);
          const auto d = s - c;
          sums.Add(d, d, lanes);
        }
        if constexpr (kSecond) {
          const auto v = (lanes.Read(s2 + i) - mean) * scale;
          lanes.Write(y + i, Affine(v, weight, bias, i, lanes));
        }
      });
  if constexpr (kFirst) {
    const double share = 1.0 / (n > 0 ? static_cast<double>(n) : 1.0);
    const double offset = center ? TwoSums::Total(sums.sum) * share : 0.0;
    double variance = TwoSums::Total(sums.products) * share - offset * offset;
    *first->mean = static_cast<float>(near_mean + offset);
    if (offset * offset > variance) {
      const float* const from = sum ? sum : x;
      const Vec at = Set1(*first->mean);
      variance = share * Sum(
                             n, [=](int64_t i, auto lanes) __attribute__((always_inline)) {
                               const auto d = lanes.Read(from + i) - at;
                               return d * d;
                             });
    }
    *first->rstd = static_cast<float>(1.0 / __builtin_sqrt(variance + static_cast<double>(epsilon)));
  }
}

inline void NormShort(const NormRow* rows, int count, const float* weight, const float* bias, int64_t n,
                      float epsilon, bool center) {
  constexpr int kLag = 2;
  for (int i = 0; i < count + kLag; ++i) {
    const NormRow *first = rows + i, *second = rows + i - kLag;
    if (i < count && i >= kLag) {
      NormPasses<true, true>(first, second, weight, bias, n, epsilon, center);
    } else if (i < count) {
      NormPasses<true, false>(first, nullptr, weight, bias, n, epsilon, center);
    } else if (i >= kLag) {
      NormPasses<false, true>(nullptr, second, weight, bias, n, epsilon, center);
    }
  }
}

// Σ s of one row, stored on the way where there is something to add: then *x is where.
inline double SumRow(const NormRow& row, const float** x, int64_t n, bool needed) {
  const float *from = row.x, *residual = row.residual;
  float* const sum = PlaceOfSum(row);
  *x = sum ? sum : from;
  if (residual) {
    return Sum(
        n, [=](int64_t i, auto lanes) __attribute__((always_inline)) {
          const auto s = lanes.Read(from + i) + lanes.Read(residual + i);
          lanes.Write(sum + i, s);
          return s;
        });
  }
  if (row.sum) ForLanes(n, [=](int64_t i, auto lanes) { lanes.Write(sum + i, lanes.Read(from + i)); });
  return needed ? Sum(n, [=](int64_t i, auto lanes) { return lanes.Read(from + i); }) : 0.0;
}

// Of long rows in two passes.
inline void NormLong(const NormRow& row, const float* weight, const float* bias, int64_t n, float epsilon,
                     bool center) {
  const double count = static_cast<double>(n);
  const float* x;
  const double sum = SumRow(row, &x, n, center);
  const float mean = center ? static_cast<float>(sum / count) : 0.0f;
  const Vec m = Set1(mean);
  const double squares = Sum(
      n, [=](int64_t i, auto lanes) __attribute__((always_inline)) {
        const auto d = lanes.Read(x + i) - m;
        return d * d;
      });
  const float rstd = static_cast<float>(1.0 / __builtin_sqrt(squares / count + static_cast<double>(epsilon)));
  const Vec scale = Set1(rstd);
  float* const y = row.y;
  ForLanes(n, [=](int64_t i, auto lanes) {
    const Vec v = (lanes.Read(x + i) - m) * scale;
    lanes.Write(y + i, Affine(v, weight, bias, i, lanes));
  });
  *row.mean = mean;
  *row.rstd = rstd;
}

void Norm(const NormRow* rows, int count, const float* weight, const float* bias, int64_t n, float epsilon,
          bool center) {
  if (n <= kShortRow) return NormShort(rows, count, weight, bias, n, epsilon, center);
  for (; count > 0; --count, ++rows) NormLong(*rows, weight, bias, n, epsilon, center);
}

// dx = rstd · (g − [mean(g)] − x̂ · mean(g ⊙ x̂)) + gradient_residual with g = dy ⊙ weight, x̂ = (x − mean) ·
// rstd; d_weight += dy ⊙ x̂, d_bias += dy. [mean(g)] only when center. weight, gradient_residual, d_weight and
// d_bias may be nullptr; dx may be dy, x or gradient_residual.
void NormGradient(const float* dy, const float* x, const float* weight, float mean, float rstd,
                  const float* gradient_residual, float* dx, float* d_weight, float* d_bias, int64_t n,
                  bool center) {
  const Vec m = Set1(mean), r = Set1(rstd);
  // Sums of a block in single precision, those of the blocks in double.
  constexpr int64_t kBlock = 4096;
  double sum = 0, dot = 0;
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    TwoSums sums;
    ForPacks(
        n - begin < kBlock ? n - begin : kBlock, [&](int64_t k, auto lanes) __attribute__((always_inline)) {
          const int64_t i = begin + k;
          auto g = lanes.Read(dy + i);
          if (weight) g = g * lanes.Read(weight + i);
          sums.Add(g, (lanes.Read(x + i) - m) * r, lanes);
        });
    sum += TwoSums::Total(sums.sum);
    dot += TwoSums::Total(sums.products);
  }
  const double share = 1.0 / (n > 0 ? static_cast<double>(n) : 1.0);
  const Vec g_mean = Set1(center ? static_cast<float>(sum * share) : 0.0f),
            gx_mean = Set1(static_cast<float>(dot * share));
  ForPacks(
      n, [=](int64_t i, auto lanes) __attribute__((always_inline)) {
        const auto d = lanes.Read(dy + i), normal = (lanes.Read(x + i) - m) * r;
        auto g = d;
        if (weight) g = g * lanes.Read(weight + i);
        auto v = r * Fnma(normal, gx_mean, g - g_mean);
        if (gradient_residual) v = v + lanes.Read(gradient_residual + i);
        lanes.Write(dx + i, v);
        if (d_weight) lanes.Write(d_weight + i, Fma(d, normal, lanes.Read(d_weight + i)));
        if (d_bias) lanes.Write(d_bias + i, lanes.Read(d_bias + i) + d);
      });
}
