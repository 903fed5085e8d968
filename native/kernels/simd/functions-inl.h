// The elementwise functions of kernel_table.h: Function<f>::Value and ::Derivative over Vec and Pack.
// Included inside each instruction set's anonymous namespace.
//
// NaN goes through every function. Where a function has a kink the derivative is 0 at it.

template <Unary kFunction>
struct Function;

#define HEEDFUL_FUNCTION(name, value, derivative)                        \
  template <>                                                            \
  struct Function<Unary::name> {                                         \
    template <class V>                                                   \
    static HEEDFUL_INLINE V Value(const V& x) {                          \
      value                                                              \
    }                                                                    \
    template <class V>                                                   \
    static HEEDFUL_INLINE auto Derivative([[maybe_unused]] const V& x) { \
      derivative                                                         \
    }                                                                    \
  };

inline Vec One() { return Set1(1.0f); }
template <class V>
HEEDFUL_INLINE V Step(const V& x) {
  return Select(Less(Zero(), x), One(), Zero());
}
template <class V>
HEEDFUL_INLINE V Sign(const V& x) {
  return Select(Less(Zero(), x), One(), Select(Less(x, Zero()), Set1(-1.0f), x));
}

// The argument of the logistic function in the tanh form of gelu, 2·√(2/π)·(x + 0.044715·x³), since
// ½·(1 + tanh u) = σ(2u).
template <class V>
HEEDFUL_INLINE V GeluTanhArgument(const V& x) {
  return x * Fma(x * x, Set1(0.0713548163f), Set1(1.59576912f));
}

struct GeluValue {
  template <class V>
  HEEDFUL_INLINE V operator()(const V& x) const {
    const V a = Min(Set1(kNormalLimit), Abs(x));
    return Fnma(a, NormalTail<V>(a).Value(), Max(Zero(), x));
  }
};
struct GeluDerivative {
  template <class V>
  HEEDFUL_INLINE V operator()(const V& x) const {
    const V a = Min(Set1(kNormalLimit), Abs(x));
    const NormalTail<V> normal(a);
    const V e = normal.Exponential(), tail = e * normal.m;
    const V distribution = Select(Less(x, Zero()), tail, One() - tail);
    return Fma(CopySign(a, x) * Set1(0.398942280f), e, distribution);
  }
};

HEEDFUL_FUNCTION(identity, return x;, return One();)
HEEDFUL_FUNCTION(negate, return Set1(-0.0f) - x;, return Set1(-1.0f);)
HEEDFUL_FUNCTION(absolute, return Abs(x);, return Sign(x);)
HEEDFUL_FUNCTION(square, return x * x;, return x + x;)
HEEDFUL_FUNCTION(squareRoot, return Sqrt(x);, return Set1(0.5f) / Sqrt(x);)
HEEDFUL_FUNCTION(reciprocalSquareRoot, return One() / Sqrt(x);, return Set1(-0.5f) / (x * Sqrt(x));)
HEEDFUL_FUNCTION(reciprocal, return One() / x;, return Set1(-1.0f) / (x * x);)
HEEDFUL_FUNCTION(exp, return Exp(x);, return Exp(x);)
HEEDFUL_FUNCTION(log, return Log(x);, return One() / x;)
HEEDFUL_FUNCTION(sine, return Sine(x);, return Cosine(x);)
HEEDFUL_FUNCTION(cosine, return Cosine(x);, return Set1(-0.0f) - Sine(x);)
HEEDFUL_FUNCTION(sign, return Sign(x);, return Zero();)
HEEDFUL_FUNCTION(erf, return Erf(x);, return Set1(1.12837917f) * Exp<V>(Zero() - x * x);)
HEEDFUL_FUNCTION(relu, return Max(Zero(), x);, return Step(x);)
HEEDFUL_FUNCTION(tanh, return Tanh(x);, {
  // 1 − tanh² without its cancellation: 4e / (1 + e)², e = exp(−2|x|).
  const V e = Exp<V>(Set1(-2.0f) * Abs(x));
  const V d = One() + e;
  return Set1(4.0f) * e / (d * d);
})
HEEDFUL_FUNCTION(sigmoid, return Sigmoid(x);, {
  const V e = Exp<V>(Zero() - Abs(x));
  const V d = One() + e;
  return e / (d * d);
})
// x·σ(x);  f' = σ·(1 + x·(1 − σ))
HEEDFUL_FUNCTION(silu, return x / (One() + Exp<V>(Zero() - x));, {
  const V s = Sigmoid(x);
  return s * Fma(x, One() - s, One());
})
// x·Φ(x) = max(x, 0) − |x|·Φ(−|x|) (Hendrycks & Gimpel 2016);  f' = Φ + x·φ
HEEDFUL_FUNCTION(gelu, return InHalves(x, GeluValue{});, return InHalves(x, GeluDerivative{});)
// x·σ(w), w(x) as above;  f' = σ·(1 + x·w'·(1 − σ))
HEEDFUL_FUNCTION(geluTanh, return x / (One() + Exp<V>(Zero() - GeluTanhArgument(x)));, {
  const V s = Sigmoid(GeluTanhArgument(x));
  const V slope = Fma(x * x, Set1(0.214064449f), Set1(1.59576912f));
  return s * Fma(x * slope, One() - s, One());
})
#undef HEEDFUL_FUNCTION

template <Binary kFunction>
inline Vec Combine(Vec a, Vec b) {
  if constexpr (kFunction == Binary::add) {
    return a + b;
  } else if constexpr (kFunction == Binary::subtract) {
    return a - b;
  } else if constexpr (kFunction == Binary::multiply) {
    return a * b;
  } else if constexpr (kFunction == Binary::divide) {
    return a / b;
  } else if constexpr (kFunction == Binary::minimum) {
    return Minimum(a, b);
  } else if constexpr (kFunction == Binary::maximum) {
    return Maximum(a, b);
  } else if constexpr (kFunction == Binary::power) {
    return Power(a, b);
  } else if constexpr (kFunction == Binary::greater) {
    return Select(Less(b, a), One(), Zero());
  } else if constexpr (kFunction == Binary::greaterEqual) {
    return Select(LessEqual(b, a), One(), Zero());
  } else {
    static_assert(kFunction == Binary::equal);
    return Select(Equal(a, b), One(), Zero());
  }
}
