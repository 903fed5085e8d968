// Loops over arrays of any length, written once: a body gets the index and a `lanes`, which is Whole for full
// vectors and Partial for the last few elements. Included inside each instruction set's anonymous namespace.

constexpr float kLaneNumbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
static_assert(Vec::kLanes <= 16, "kLaneNumbers");

struct Whole {
  Vec Read(const float* p) const { return Load(p); }
  // The cache lines of p are to be read soon.
  void Ask(const float* p) const { Prefetch(p); }
  void Write(float* p, Vec v) const { Store(p, v); }
  template <class V>
  HEEDFUL_INLINE V Keep(const V& v, Vec) const {
    return v;
  }
};

struct Partial {
  int n;  // 0 < n < kLanes
  Vec Read(const float* p) const { return LoadPartial(p, n); }
  void Ask(const float*) const {}
  void Write(float* p, Vec v) const { StorePartial(p, v, n); }
  // v in the lanes that exist, `otherwise` in the rest: the neutral element of a reduction.
  template <class V>
  HEEDFUL_INLINE V Keep(const V& v, Vec otherwise) const {
    return Select(Less(Load(kLaneNumbers), Set1(static_cast<float>(n))), v, otherwise);
  }
};

// A pack of full vectors: what a body makes of it may be a pack or a vector, which is every vector of it
// then.
struct Packed {
  Pack<kPackVectors> Read(const float* p) const {
    return Each<Pack<kPackVectors>, kPackVectors>([&](int i) __attribute__((always_inline)) {
      return Load(p + i * Vec::kLanes);
    });
  }
  HEEDFUL_INLINE void Ask(const float* p) const {
    Unroll<kPackVectors>([&](auto i) __attribute__((always_inline)) { Prefetch(p + i * Vec::kLanes); });
  }
  template <class V>
  HEEDFUL_INLINE void Write(float* p, const V& x) const {
    Unroll<kPackVectors>([&](auto i)
                             __attribute__((always_inline)) { Store(p + i * Vec::kLanes, Part(x, i)); });
  }
};

// body(i, lanes) for i = 0, kLanes, 2·kLanes, …
template <class F>
HEEDFUL_INLINE void ForLanes(int64_t n, F&& body) {
  int64_t i = 0;
  for (; i + Vec::kLanes <= n; i += Vec::kLanes) body(i, Whole{});
  if (i < n) body(i, Partial{static_cast<int>(n - i)});
}

// The same with packs as far as they go, for bodies of more than a few steps.
template <class F>
HEEDFUL_INLINE void ForPacks(int64_t n, F&& body) {
  constexpr int64_t kSize = kPackVectors * Vec::kLanes;
  int64_t i = 0;
  for (; i + kSize <= n; i += kSize) body(i, Packed{});
  for (; i + Vec::kLanes <= n; i += Vec::kLanes) body(i, Whole{});
  if (i < n) body(i, Partial{static_cast<int>(n - i)});
}

// Folds term(i, lanes) with merge(accumulator, term), from `neutral`, in as many accumulators as a pack has
// vectors: enough to hide the latency of an addition. The order is fixed by n and kLanes alone.
template <class Term, class Merge>
HEEDFUL_INLINE Vec Fold(int64_t begin, int64_t end, Vec neutral, Term&& term, Merge&& merge) {
  constexpr int64_t kSize = kPackVectors * Vec::kLanes;
  auto s = Each<Pack<kPackVectors>, kPackVectors>([=](int) { return neutral; });
  int64_t i = begin;
  for (; i + kSize <= end; i += kSize) s = merge(s, term(i, Packed{}));
  Vec rest = neutral;
  for (; i + Vec::kLanes <= end; i += Vec::kLanes) rest = merge(rest, term(i, Whole{}));
  if (i < end) {
    const Partial lanes{static_cast<int>(end - i)};
    s.v[0] = merge(s.v[0], lanes.Keep(term(i, lanes), neutral));
  }
  Unroll<kPackVectors / 2>([&](auto k) { s.v[k] = merge(s.v[k], s.v[kPackVectors - 1 - k]); });
  Unroll<(kPackVectors + 1) / 2>([&](auto k) { rest = merge(rest, s.v[k]); });
  return rest;
}

// Σ factor ⊙ term(i, lanes) over i < n: blocks of 4096 in single precision, the blocks in double. The error
// is that of a chain of at most 4096 / (4·kLanes) additions, whatever n.
template <class Term>
HEEDFUL_INLINE double Sum(int64_t n, Term&& term, Vec factor) {
  constexpr int64_t kBlock = 4096;
  double total = 0;
  for (int64_t i = 0; i < n; i += kBlock) {
    const int64_t end = n - i < kBlock ? n : i + kBlock;
    total +=
        ReduceAdd(Fold(i, end, Zero(), term, [](const auto& s, const auto& t) { return s + t; }) * factor);
  }
  return total;
}

// The same without a factor.
template <class Term>
HEEDFUL_INLINE double Sum(int64_t n, Term&& term) {
  return Sum(n, term, Set1(1.0f));
}
