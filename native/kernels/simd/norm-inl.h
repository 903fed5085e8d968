// Layer norm (Ba et al. 2016) and RMS norm (Zhang & Sennrich 2019) of a row, with the residual addition
// before it, and the gradient. Included inside each instruction set's anonymous namespace.

// s = x + residual, stored to `sum` when given; y = (s − mean) · rstd ⊙ weight + bias.
//   mean = Σ s / n (0 unless center), rstd = 1 / √(Σ (s − mean)² / n + ε).
// residual, weight, bias, sum, mean may be nullptr. y and sum may be x or residual, as long as they differ
// from each other. Sums: Sum() of lanes-inl.h; mean and variance in double after that.
//
// Rows are independent, and long enough that a core sees little beyond one: short ones go together, a vector
// of each at a time, so that one's arithmetic fills the time in which another's sums come together. Each is
// computed as if alone.
constexpr int64_t kShortRow = 1024;  // so many floats of a pack of rows fit into the nearest cache

// v ⊙ weight + bias at column i, each of which may be nullptr.
template <class V, class Lanes>
HEEDFUL_INLINE V Affine(const V& v, const float* weight, const float* bias, int64_t i, Lanes lanes) {
  if (weight && bias) return Fma(v, lanes.Read(weight + i), lanes.Read(bias + i));
  if (weight) return v * lanes.Read(weight + i);
  return bias ? v + lanes.Read(bias + i) : v;
}

// Of short rows mean and variance are taken in one pass, relative to a number c that lies near the mean, that
// of the first vector: Σ (s − c)² and n·(mean − c)² cancel where c lies far off. Then a second pass is made.
template <int kRows>
inline void NormShort(const NormRow* rows, const float* weight, const float* bias, int64_t n, float epsilon,
                      bool center) {
  using Rows = Pack<kRows>;
  const auto each = [](auto&& f) __attribute__((always_inline)) { return Each<Rows, kRows>(f); };
  // Where s is.
  const float* x[kRows];
  float *stored[kRows], *y[kRows], mean[kRows] = {}, rstd[kRows];
  const bool stores = rows->sum || rows->residual;
  Unroll<kRows>([&](auto r) {
    y[r] = rows[r].y;
    stored[r] = rows[r].sum ? rows[r].sum : rows[r].y;
    x[r] = stores ? stored[r] : rows[r].x;
  });
  const double count = n > 0 ? static_cast<double>(n) : 1.0;
  if (center && n > 0) {
    const int first = static_cast<int>(n < Vec::kLanes ? n : Vec::kLanes);
    Unroll<kRows>([&](auto r) {
      Vec s = LoadPartial(rows[r].x, first);
      if (rows[r].residual) s = s + LoadPartial(rows[r].residual, first);
      mean[r] = ReduceAdd(s) / static_cast<float>(first);
    });
  }
  const Rows c = each([&](int r) { return Set1(mean[r]); });
  Rows sums = each([](int) { return Zero(); }), squares = sums;
  const auto add = [&](const Rows& s, auto lanes) __attribute__((always_inline)) {
    const Rows d = lanes.Keep(s - c, Zero());
    if (center) sums = sums + d;
    squares = Fma(d, d, squares);
  };
  const auto read = [&](int64_t i, auto lanes) __attribute__((always_inline)) {
    return each([&](int r) __attribute__((always_inline)) { return lanes.Read(x[r] + i); });
  };
  if (stores) {
    ForLanes(
        n, [&](int64_t i, auto lanes) __attribute__((always_inline)) {
          add(each([&](int r) __attribute__((always_inline)) {
                Vec s = lanes.Read(rows[r].x + i);
                if (rows[r].residual) s = s + lanes.Read(rows[r].residual + i);
                lanes.Write(stored[r] + i, s);
                return s;
              }),
              lanes);
        });
  } else {
    ForLanes(
        n, [&](int64_t i, auto lanes) __attribute__((always_inline)) { add(read(i, lanes), lanes); });
  }
  Unroll<kRows>([&](auto r) {
    const double offset = static_cast<double>(ReduceAdd(sums.v[r])) / count;
    double variance = static_cast<double>(ReduceAdd(squares.v[r])) / count - offset * offset;
    mean[r] = static_cast<float>(mean[r] + offset);
    if (offset * offset > variance) {
      const float* const from = x[r];
      const Vec at = Set1(mean[r]);
      variance = Sum(
                     n,
                     [=](int64_t i, auto lanes) __attribute__((always_inline)) {
                       const auto d = lanes.Read(from + i) - at;
                       return d * d;
                     }) /
                 count;
    }
    rstd[r] = static_cast<float>(1.0 / __builtin_sqrt(variance + static_cast<double>(epsilon)));
  });
  const Rows m = each([&](int r) { return Set1(mean[r]); }),
             scale = each([&](int r) { return Set1(rstd[r]); });
  ForLanes(
      n, [&](int64_t i, auto lanes) __attribute__((always_inline)) {
        const Rows v = Affine<Rows>((read(i, lanes) - m) * scale, weight, bias, i, lanes);
        Unroll<kRows>([&](auto r) __attribute__((always_inline)) { lanes.Write(y[r] + i, v.v[r]); });
      });
  Unroll<kRows>([&](auto r) {
    if (rows[r].mean) *rows[r].mean = mean[r];
    *rows[r].rstd = rstd[r];
  });
}

// Σ s of one row, stored on the way where there is something to add: then *x is where.
inline double SumRow(const NormRow& row, const float** x, int64_t n, bool needed) {
  const float *from = row.x, *residual = row.residual;
  float* const sum = row.sum ? row.sum : row.y;
  *x = row.sum || residual ? sum : from;
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
  if (row.mean) *row.mean = mean;
  *row.rstd = rstd;
}

void Norm(const NormRow* rows, int count, const float* weight, const float* bias, int64_t n, float epsilon,
          bool center) {
  if (n <= kShortRow) {
    for (; count >= kRowsTogether; count -= kRowsTogether, rows += kRowsTogether)
      NormShort<kRowsTogether>(rows, weight, bias, n, epsilon, center);
    for (; count > 0; --count, ++rows) NormShort<1>(rows, weight, bias, n, epsilon, center);
    return;
  }
  for (; count > 0; --count, ++rows) NormLong(*rows, weight, bias, n, epsilon, center);
}

// dx = rstd · (g − [mean(g)] − x̂ · mean(g ⊙ x̂)) + gradient_residual with g = dy ⊙ weight, x̂ = (x − mean) ·
// rstd; d_weight += dy ⊙ x̂, d_bias += dy. [mean(g)] only when center. weight, gradient_residual, d_weight and
// d_bias may be nullptr; dx may be dy, x or gradient_residual.
void NormGradient(const float* dy, const float* x, const float* weight, float mean, float rstd,
                  const float* gradient_residual, float* dx, float* d_weight, float* d_bias, int64_t n,
                  bool center) {
  const Vec m = Set1(mean), r = Set1(rstd);
  const auto gradient = [=](int64_t i, auto lanes) __attribute__((always_inline)) {
    const auto g = lanes.Read(dy + i);
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
