// Elementary functions over Vec and Pack. Included inside each instruction set's anonymous namespace.
// Errors are the largest of a sweep over all floats (HEEDFUL_SWEEP=1 npx vitest run
// test/ops/accuracy.test.ts), with FMA; without FMA up to 1 ulp more. The polynomials are minimax fits of our
// own (Remez).

constexpr float kInfinity = __builtin_inff();

// The smaller, the larger; NaN if either is. Min and Max give the second operand when it is NaN.
template <class V>
HEEDFUL_INLINE V Minimum(const V& a, const V& b) {
  return Select(IsNaN(a), a, Min(a, b));
}
template <class V>
HEEDFUL_INLINE V Maximum(const V& a, const V& b) {
  return Select(IsNaN(a), a, Max(a, b));
}

// 2ˣ: split x = n + f, |f| ≤ ½, polynomial of degree 5 in f (minimax, relative error 1.7e-7), scaled by 2ⁿ.
// Below −150 the result is 0; NaN stays NaN. x ≤ 160.
inline Vec Exp2Down(Vec x) {
  // Bounded so that n stays small; the second operand of Max is what NaN would give, hence the order.
  const Vec bounded = Max(Set1(-160.0f), x);
  const Vec n = Round(bounded);
  const Vec f = bounded - n;
  Vec p = Set1(1.326472731e-3f);
  p = Fma(p, f, Set1(9.671512991e-3f));
  p = Fma(p, f, Set1(5.550733581e-2f));
  p = Fma(p, f, Set1(2.402224243e-1f));
  p = Fma(p, f, Set1(6.931470037e-1f));
  p = Fma(p, f, Set1(1.0f));
  return ScaleB(p, n);
}

// The same for all x: ∞ above 128.
inline Vec Exp2(Vec x) { return Exp2Down(Min(Set1(160.0f), x)); }

// x = n·ln 2 + r, |r| ≤ ½ ln 2: gives n, rounded by adding and subtracting 1.5·2²³. |x| < 2²¹.
template <class V>
HEEDFUL_INLINE V ExpExponent(const V& x) {
  const Vec magic = Set1(12582912.0f);
  return Fma(x, Set1(1.44269504f), magic) - magic;
}

// eʳ, |r| ≤ ½ ln 2: degree 5 (minimax, relative error 9.2e-8).
template <class V>
HEEDFUL_INLINE V ExpReduced(const V& r) {
  V p = Fma(Set1(8.290147592e-3f), r, Set1(4.189802719e-2f));
  p = Fma(p, r, Set1(1.66676408e-1f));
  p = Fma(p, r, Set1(4.999914875e-1f));
  p = Fma(p, r, Set1(9.999997044e-1f));
  return Fma(p, r, Set1(1.0f));
}

// eˣ within 2 ulp; e^−∞ = 0, e^∞ = ∞, NaN stays NaN.
template <class V>
HEEDFUL_INLINE V Exp(const V& x) {
  const V bounded = Min(Set1(89.0f), Max(Set1(-104.0f), x));
  const V n = ExpExponent(bounded);
  // ln 2 in two parts; n times the first is exact.
  const V r = Fnma(n, Set1(1.42860677e-6f), Fnma(n, Set1(0.693145752f), bounded));
  return ScaleB(ExpReduced(r), n);
}

// The same for x ≤ 0, or a little above, with ln 2 in one part: relative error 1.4e-7 + 2.8e-9·|x|. What is
// far below the largest of a sum of exponentials needs no more. e^−∞ = 0, NaN stays NaN.
template <class V>
HEEDFUL_INLINE V ExpDown(const V& x) {
  const V bounded = Max(Set1(-104.0f), x);
  const V n = ExpExponent(bounded);
  return ScaleB(ExpReduced<V>(Fnma(n, Set1(0.693147182f), bounded)), n);
}

// ln x within 1 ulp, x = 2ᵉ·(1 + f): f − f²/2 + f³·P(f) + e·ln 2. ln 0 = −∞, ln ∞ = ∞, NaN for x < 0 and NaN.
inline Vec Log(Vec x) {
  const Mask subnormal = Less(x, Set1(1.17549435e-38f));
  Vec m;
  Vec e = SplitExponent(Select(subnormal, x * Set1(33554432.0f), x), &m);
  e = e - Select(subnormal, Set1(25.0f), Zero());
  const Vec f = m - Set1(1.0f), f2 = f * f;
  Vec p = Set1(6.746653467e-2f);
  p = Fma(p, f, Set1(-1.167564914e-1f));
  p = Fma(p, f, Set1(1.188815460e-1f));
  p = Fma(p, f, Set1(-1.240558922e-1f));
  p = Fma(p, f, Set1(1.421955377e-1f));
  p = Fma(p, f, Set1(-1.666799635e-1f));
  p = Fma(p, f, Set1(2.000211924e-1f));
  p = Fma(p, f, Set1(-2.500000894e-1f));
  p = Fma(p, f, Set1(3.333331347e-1f));
  Vec y = f * f2 * p;
  y = Fma(e, Set1(1.42860677e-6f), y);
  y = Fnma(Set1(0.5f), f2, y);
  y = Fma(e, Set1(0.693145752f), f + y);
  y = Select(Equal(x, Set1(kInfinity)), x, y);
  return Select(Less(Zero(), x), y, Select(Equal(x, Zero()), Set1(-kInfinity), Set1(__builtin_nanf(""))));
}

// tanh x = −t / (2 + t), t = e^(−2|x|) − 1 = 2ⁿ·w + (2ⁿ − 1) and 2 + t = 2ⁿ·w + (2ⁿ + 1), w = eʳ − 1, each
// rounded once: within 1.9 ulp; exact at 0 and ±∞, NaN stays NaN. (x·P(x²) / Q(x²) takes two thirds of the
// time, but its roundings add up to 5.4 ulp.)
template <class V>
HEEDFUL_INLINE V Tanh(const V& x) {
  const V bounded = Max(Set1(-104.0f), Set1(-2.0f) * Abs(x));
  const V n = ExpExponent(bounded);
  // ln 2 in one part: where n is not 0, t is large.
  const V r = Fnma(n, Set1(0.693147182f), bounded);
  V p = Fma(Set1(1.394655555e-3f), r, Set1(8.366643451e-3f));
  p = Fma(p, r, Set1(4.166628048e-2f));
  p = Fma(p, r, Set1(1.666654199e-1f));
  p = Fma(p, r, Set1(0.5f));
  const V w = Fma(r * r, p, r);
  const V scale = ScaleB(Set1(1.0f), n);
  const V t = Fma(w, scale, scale - Set1(1.0f));
  return CopySign(Zero() - t, x) / Fma(w, scale, scale + Set1(1.0f));
}

// 1 / (1 + e^−x) within 3.5 ulp.
template <class V>
HEEDFUL_INLINE V Sigmoid(const V& x) {
  return Set1(1.0f) / (Set1(1.0f) + Exp<V>(Zero() - x));
}

// f of each lane by itself: for functions that are not worth a vector version.
template <class F>
inline Vec PerLane(F&& f, Vec a, Vec b) {
  float x[Vec::kLanes], y[Vec::kLanes];
  Store(x, a);
  Store(y, b);
  for (int i = 0; i < Vec::kLanes; ++i) x[i] = f(x[i], y[i]);
  return Load(x);
}
inline Vec Power(Vec a, Vec b) {
  return PerLane([](float x, float y) { return __builtin_powf(x, y); }, a, b);
}

// sin(x + quarters·π/2), quarters 0 or 1, absolute error ≤ 1e-7 (1.5 ulp for |x| < 3): x = n·π/2 + r, |r| ≤
// π/4, π/2 in three parts (Cody & Waite). Arguments beyond 8192, ∞ and NaN go through the C library.
inline Vec SineQuarters(Vec x, float quarters) {
  if (!(ReduceMax(Select(LessEqual(Abs(x), Set1(8192.0f)), Zero(), Set1(1.0f))) == 0.0f)) {
    return quarters == 0.0f ? PerLane([](float v, float) { return __builtin_sinf(v); }, x, x)
                            : PerLane([](float v, float) { return __builtin_cosf(v); }, x, x);
  }
  const Vec n = Round(x * Set1(0.636619772f));
  const Vec r =
      Fnma(n, Set1(7.549789955e-8f), Fnma(n, Set1(4.837512969970703e-4f), Fnma(n, Set1(1.5703125f), x)));
  const Vec z = r * r;
  Vec s = Set1(-1.951695012e-4f);
  s = Fma(s, z, Set1(8.332176134e-3f));
  s = Fma(s, z, Set1(-1.666665524e-1f));
  s = Fma(s * z, r, r);
  Vec c = Set1(2.443875928e-5f);
  c = Fma(c, z, Set1(-1.388737233e-3f));
  c = Fma(c, z, Set1(4.166664556e-2f));
  c = Fma(c, z * z, Fnma(Set1(0.5f), z, Set1(1.0f)));
  const Vec shifted = n + Set1(quarters);
  const Vec k = Fnma(Set1(4.0f), Round(shifted * Set1(0.25f)), shifted);  // −2 … 2, the quadrant
  const Vec value = Select(Equal(Abs(k), Set1(1.0f)), c, s);
  const Vec sign =
      Select(Equal(k, Set1(2.0f)), Set1(-1.0f), Select(Less(k, Zero()), Set1(-1.0f), Set1(1.0f)));
  return value * sign;
}
inline Vec Sine(Vec x) { return SineQuarters(x, 0.0f); }
inline Vec Cosine(Vec x) { return SineQuarters(x, 1.0f); }

HEEDFUL_EACH(Pack, Log)
HEEDFUL_EACH(Pack, Sine)
HEEDFUL_EACH(Pack, Cosine)
