// Unroll<N>(f) calls f(0) … f(N − 1) with compile-time indices, so that arrays indexed by them stay in
// registers. Included inside each instruction set's anonymous namespace.
#define HEEDFUL_INLINE inline __attribute__((always_inline))

template <int kIndex>
struct Index {
  static constexpr int value = kIndex;
  constexpr operator int() const { return kIndex; }
};

template <int kCount, class F, int kNext = 0>
HEEDFUL_INLINE void Unroll(F&& f) {
  if constexpr (kNext < kCount) {
    f(Index<kNext>{});
    Unroll<kCount, F, kNext + 1>(static_cast<F&&>(f));
  }
}

// A function of its own with all that it calls inside it: an accumulator that is passed on lies in memory.
#if defined(__GNUC__) && !defined(__clang__)
#define HEEDFUL_MICRO_KERNEL __attribute__((noinline, flatten))
#else
#define HEEDFUL_MICRO_KERNEL __attribute__((noinline))
#endif
