// One token of a row of logits: token i with probability w[i] / Σ w, w = exp((logits − max) / temperature),
// after top-k, top-p and min-p have left some out (Sampling in kernel_table.h says which).
//
// Nothing is sorted. A filter keeps what is above a threshold, and the first few of what equals it. The
// threshold is found by bisection over the floats in their order, at most 32 counts (or sums) of what lies
// above. Before that a bound below the threshold is made from the maxima of short columns (top-k) or the sum
// of the weights (top-p), so that all but the first passes run over the few candidates that are above it.
//
// Contract: Sampling in kernel_table.h. Included inside each instruction set's anonymous namespace, after
// softmax-inl.h. Accuracy: weights to 2e-7 relative, sums in float over 4,096 and in double over these.
// Source: top-k of Fan, Lewis & Dauphin 2018, top-p of Holtzman et al. 2020, min-p of Nguyen et al. 2024.

// Vectors that are looked at, or skipped, together.
constexpr int kSampleVectors = 4;
// Vectors of a column of maxima: top-k is bounded well up to a k of a sixteenth of the row.
constexpr int kColumnVectors = 16;
constexpr int64_t kDrawBlock = 256;

struct SampleScratch {
  float *maxima, *x, *w;
  int32_t* ids;
  int64_t size;

  SampleScratch(float* base, int64_t n) {
    constexpr int64_t kColumns = kColumnVectors * Vec::kLanes;
    // One more than there are: a candidate is written before it is known to be one.
    const int64_t columns = (n + kColumns - 1) / kColumns * Vec::kLanes, list = (n + 16) / 16 * 16;
    maxima = base;
    x = base + (columns + 15) / 16 * 16;
    w = x + list;
    ids = reinterpret_cast<int32_t*>(w + list);
    size = (columns + 15) / 16 * 16 + 3 * list;
  }
};

int64_t SampleScratchSize(int64_t n) { return SampleScratch(nullptr, n).size; }

// Floats in their order as integers, and back. −0 comes before 0.
inline int64_t OrderOf(float x) {
  int32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return bits >= 0 ? bits : bits ^ 0x7fffffff;
}
inline float FloatAt(int64_t order) {
  const int32_t bits = static_cast<int32_t>(order >= 0 ? order : order ^ 0x7fffffff);
  float x;
  __builtin_memcpy(&x, &bits, sizeof x);
  return x;
}

// The largest t in [low, high] with enough(t), which holds for low and never again once it does not.
template <class F>
inline float LargestWith(float low, float high, F&& enough) {
  int64_t from = OrderOf(low), to = OrderOf(high) + 1;
  while (to - from > 1) {
    const int64_t middle = from + (to - from) / 2;
    (enough(FloatAt(middle)) ? from : to) = middle;
  }
  return FloatAt(from);
}

// How many x are at least t. Exact below 2²⁴.
inline int64_t CountFrom(const float* x, int64_t n, float t) {
  const Vec least = Set1(t), one = Set1(1.0f);
  return static_cast<int64_t>(ReduceAdd(Fold(
      0, n, Zero(),
      [=](int64_t i, auto lanes)
          __attribute__((always_inline)) { return Select(Less(lanes.Read(x + i), least), Zero(), one); },
      [](const auto& s, const auto& v) { return s + v; })));
}

inline double MassFrom(const float* x, const float* w, int64_t n, float t) {
  const Vec least = Set1(t);
  return Sum(
      n, [=](int64_t i, auto lanes) __attribute__((always_inline)) {
        return Select(Less(lanes.Read(x + i), least), Zero(), lanes.Read(w + i));
      });
}

// e^((x − max) / temperature).
template <class V>
HEEDFUL_INLINE V Weight(const V& x, Vec max, Vec temperature) {
  return ExpDown((x - max) / temperature);
}

// A value that at least k of x reach, as high as the maxima of columns tell.
inline float BoundOfTop(const float* x, int64_t n, int64_t k, float max, float* maxima) {
  const Vec lowest = Set1(-kInfinity);
  int64_t columns = 0;
  for (int64_t i = 0; i < n; i += kColumnVectors * Vec::kLanes, columns += Vec::kLanes) {
    const int64_t end = i + kColumnVectors * Vec::kLanes < n ? i + kColumnVectors * Vec::kLanes : n;
    Store(maxima + columns, Fold(
                                i, end, lowest, [=](int64_t j, auto lanes) { return lanes.Read(x + j); },
                                [](const auto& m, const auto& v) { return Max(v, m); }));
  }
  if (k > columns) return -kInfinity;
  return LargestWith(-kInfinity, max, [=](float t) { return CountFrom(maxima, columns, t) >= k; });
}

// The x that are at least `bound`, and where they stand.
inline int64_t GatherFrom(const float* x, int64_t n, float bound, const SampleScratch& list) {
  constexpr int64_t kStep = kSampleVectors * Vec::kLanes;
  int64_t count = 0;
  for (int64_t i = 0; i < n; i += kStep) {
    int64_t end = i + kStep;
    if (end <= n) {
      Vec m = Load(x + i);
      for (int v = 1; v < kSampleVectors; ++v) m = Max(m, Load(x + i + v * Vec::kLanes));
      if (ReduceMax(m) < bound) continue;
    } else {
      end = n;
    }
    for (int64_t j = i; j < end; ++j) {
      list.x[count] = x[j];
      list.ids[count] = static_cast<int32_t>(j);
      count += x[j] >= bound;
    }
  }
  return count;
}

// Of n candidates those above t, and the first `ties` that equal it.
inline int64_t KeepFrom(const SampleScratch& list, int64_t n, float t, int64_t ties) {
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float x = list.x[i];
    if (x < t || (x == t && ties-- <= 0)) continue;
    list.x[count] = x;
    list.w[count] = list.w[i];
    list.ids[count++] = list.ids[i];
  }
  return count;
}

inline int64_t KeepHeavy(const SampleScratch& list, int64_t n, float least) {
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (list.w[i] < least) continue;
    list.w[count] = list.w[i];
    list.ids[count++] = list.ids[i];
  }
  return count;
}

// The fewest of n candidates, from the largest on, that weigh `target`; all where they don't.
inline int64_t KeepMass(const SampleScratch& list, int64_t n, float max, double target) {
  if (!(Sum(n, [&](int64_t i, auto lanes) { return lanes.Read(list.w + i); }) > target)) return n;
  const float t =
      LargestWith(-kInfinity, max, [&](float t) { return MassFrom(list.x, list.w, n, t) >= target; });
  const double above = MassFrom(list.x, list.w, n, FloatAt(OrderOf(t == 0 ? 0.0f : t) + 1));
  int64_t first = 0;
  while (list.x[first] != t) ++first;
  int64_t ties = 1;
  while (ties < n && above + static_cast<double>(ties) * list.w[first] < target) ++ties;
  return KeepFrom(list, n, t, ties);
}

// `uniform` in [0, 1) → i with probability w[i] / Σ w. What weighs nothing is never taken.
inline int64_t Draw(const float* w, int64_t n, double uniform) {
  const auto sum_of = [=](int64_t begin) {
    return Sum(n - begin < kDrawBlock ? n - begin : kDrawBlock,
               [=](int64_t i, auto lanes) { return lanes.Read(w + begin + i); });
  };
  double total = 0;
  for (int64_t i = 0; i < n; i += kDrawBlock) total += sum_of(i);
  double left = uniform * total;
  int64_t block = 0;
  for (int64_t i = 0; i < n; i += kDrawBlock) {
    const double sum = sum_of(i);
    if (sum == 0) continue;
    block = i;
    if (left < sum) break;
    left -= sum;
  }
  int64_t last = block;
  for (int64_t i = block; i < n && i < block + kDrawBlock; ++i) {
    if (w[i] == 0) continue;
    last = i;
    if ((left -= w[i]) < 0) break;
  }
  return last;
}

inline int64_t FirstEqual(const float* x, int64_t n, float value) {
  constexpr int64_t kStep = kSampleVectors * Vec::kLanes;
  int64_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    Vec m = Load(x + i);
    for (int v = 1; v < kSampleVectors; ++v) m = Max(m, Load(x + i + v * Vec::kLanes));
    if (ReduceMax(m) == value) break;
  }
  while (x[i] != value) ++i;
  return i;
}

int64_t Sample(const Sampling& s) {
  const float max = MaximumKernel(s.logits, s.n);
  if (!(max - max == 0)) return -1;
  if (s.temperature == 0 || s.top_k <= 1 || s.top_p == 0) return FirstEqual(s.logits, s.n, max);
  const SampleScratch list(s.scratch, s.n);
  const Vec maximum = Set1(max), temperature = Set1(s.temperature);
  const bool by_count = s.top_k < s.n, by_mass = s.top_p<1, by_weight = s.min_p> 0;
  double whole = 0;
  float bound = -kInfinity;
  // A little below, for what rounding takes.
  const auto raise = [&](double log_weight) {
    const double at = max + s.temperature * (log_weight - 0.7);
    const float low = static_cast<float>(at - 2e-7 * __builtin_fabs(at));
    if (low > bound) bound = low;
  };
  if (by_count) {
    bound = BoundOfTop(s.logits, s.n, s.top_k, max, list.maxima);
  } else if (by_mass) {
    whole = Sum(
        s.n, [=](int64_t i, auto lanes) { return Weight(lanes.Read(s.logits + i), maximum, temperature); });
    // All that weigh less than this weigh less than 1 − top_p together.
    raise(__builtin_log((1.0 - s.top_p) * whole / static_cast<double>(s.n)));
  }
  // What top-p leaves of top-k depends on the weight of all of the latter.
  if (by_weight && !(by_count && by_mass)) raise(__builtin_log(s.min_p));
  const bool some = by_count || by_mass || by_weight;
  const float* x = some ? list.x : s.logits;
  int64_t n = some ? GatherFrom(s.logits, s.n, bound, list) : s.n;
  if (by_count && n > s.top_k) {
    const float t = LargestWith(bound, max, [&](float t) { return CountFrom(x, n, t) >= s.top_k; });
    n = KeepFrom(list, n, t, s.top_k - CountFrom(x, n, FloatAt(OrderOf(t == 0 ? 0.0f : t) + 1)));
  }
  ForLanes(n, [&](int64_t i, auto lanes) {
    lanes.Write(list.w + i, Weight(lanes.Read(x + i), maximum, temperature));
  });
  if (by_mass) {
    if (by_count) whole = Sum(n, [&](int64_t i, auto lanes) { return lanes.Read(list.w + i); });
    n = KeepMass(list, n, max, s.top_p * whole);
  }
  if (by_weight) n = KeepHeavy(list, n, s.min_p);
  const int64_t chosen = Draw(list.w, n, s.uniform);
  return some ? list.ids[chosen] : chosen;
}

constexpr SamplingKernels kSamplingKernels = {.scratch = SampleScratchSize, .run = Sample};
