// Several vectors as one value: what is done to a pack is done to each of its vectors, one step of a formula
// after another, so that the latency of a step is filled by the other vectors. (e^x on Zen 5: 7.2 cycles a
// vector by itself, 4.7 in packs of six, where the multiplying ports are full.) The functions of math-inl.h
// and functions-inl.h are written for Vec and Pack alike, and give the same bits. Included inside each
// instruction set's anonymous namespace, after unroll.h.

template <int kVectors>
struct Pack {
  Vec v[kVectors];
};
template <int kVectors>
struct PackMask {
  Mask v[kVectors];
};

// Vectors of the largest pack among some types; 0: there is none.
template <class T>
constexpr int kVectorsOf = 0;
template <int kVectors>
constexpr int kVectorsOf<Pack<kVectors>> = kVectors;
template <int kVectors>
constexpr int kVectorsOf<PackMask<kVectors>> = kVectors;
template <class T, class... More>
constexpr int kPackOf = kVectorsOf<T> > kPackOf<More...> ? kVectorsOf<T> : kPackOf<More...>;
template <class T>
constexpr int kPackOf<T> = kVectorsOf<T>;

template <class T>
HEEDFUL_INLINE T Part(const T& x, int) {
  return x;
}
template <int kVectors>
HEEDFUL_INLINE Vec Part(const Pack<kVectors>& x, int i) {
  return x.v[i];
}
template <int kVectors>
HEEDFUL_INLINE Mask Part(const PackMask<kVectors>& x, int i) {
  return x.v[i];
}

// A pack, or masks, of f(0) … f(kVectors − 1).
template <class Result, int kVectors, class F>
HEEDFUL_INLINE Result Each(F&& f) {
  Result result;
  Unroll<kVectors>([&](auto i) __attribute__((always_inline)) { result.v[i] = f(i); });
  return result;
}

// A function of vectors for packs too.
#define HEEDFUL_EACH(result, name)                                                       \
  template <class... Arguments>                                                          \
  requires(kPackOf<Arguments...> > 0) HEEDFUL_INLINE result<kPackOf<Arguments...>> name( \
      const Arguments&... a) {                                                           \
    return Each<result<kPackOf<Arguments...>>, kPackOf<Arguments...>>([&](               \
        int i) __attribute__((always_inline)) { return name(Part(a, i)...); });          \
  }
HEEDFUL_EACH(Pack, Fma)
HEEDFUL_EACH(Pack, Fnma)
HEEDFUL_EACH(Pack, Max)
HEEDFUL_EACH(Pack, Min)
HEEDFUL_EACH(Pack, Abs)
HEEDFUL_EACH(Pack, Sqrt)
HEEDFUL_EACH(Pack, Round)
HEEDFUL_EACH(Pack, ScaleB)
HEEDFUL_EACH(Pack, CopySign)
HEEDFUL_EACH(Pack, Select)
template <int kMantissaBits, int kVectors>
HEEDFUL_INLINE Pack<kVectors> TopBits(const Pack<kVectors>& x) {
  return Each<Pack<kVectors>, kVectors>([&](int i) __attribute__((always_inline)) {
    return TopBits<kMantissaBits>(x.v[i]);
  });
}
template <int kVectors>
HEEDFUL_INLINE Pack<kVectors> Lookup(const float (&table)[kTableSize], const Pack<kVectors>& x) {
  return Each<Pack<kVectors>, kVectors>([&](int i)
                                            __attribute__((always_inline)) { return Lookup(table, x.v[i]); });
}
HEEDFUL_EACH(PackMask, Less)
HEEDFUL_EACH(PackMask, Equal)
HEEDFUL_EACH(PackMask, IsNaN)

#define HEEDFUL_EACH_OPERATOR(sign)                                                             \
  template <class A, class B>                                                                   \
  requires(kPackOf<A, B> > 0) HEEDFUL_INLINE Pack<kPackOf<A, B>>                                \
  operator sign(const A& a, const B& b) {                                                       \
    return Each<Pack<kPackOf<A, B>>, kPackOf<A, B>>([&](int i) __attribute__((always_inline)) { \
      return Part(a, i) sign Part(b, i);                                                        \
    });                                                                                         \
  }
HEEDFUL_EACH_OPERATOR(+)
HEEDFUL_EACH_OPERATOR(-)
HEEDFUL_EACH_OPERATOR(*)
HEEDFUL_EACH_OPERATOR(/)
#undef HEEDFUL_EACH_OPERATOR

// f(x), half of the vectors of a pack at a time: for functions that keep more between their steps than the
// registers hold of a whole one.
template <class F>
HEEDFUL_INLINE Vec InHalves(const Vec& x, F&& f) {
  return f(x);
}
template <int kVectors, class F>
HEEDFUL_INLINE Pack<kVectors> InHalves(const Pack<kVectors>& x, F&& f) {
  static_assert(kVectors % 2 == 0);
  constexpr int kHalf = kVectors / 2;
  Pack<kVectors> y;
  Unroll<2>([&](auto side) __attribute__((always_inline)) {
    const auto half = f(Each<Pack<kHalf>, kHalf>([&](int i) __attribute__((always_inline)) {
      return x.v[side * kHalf + i];
    }));
    Unroll<kHalf>([&](auto i) __attribute__((always_inline)) { y.v[side * kHalf + i] = half.v[i]; });
  });
  return y;
}
