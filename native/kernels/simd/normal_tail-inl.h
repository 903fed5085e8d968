// The tail of the normal distribution, and the error function. Included inside each instruction set's
// anonymous namespace, after math-inl.h.

// Φ(−a) = e^(−a²/2) · m(a), m from ½ down to 0.03: a polynomial on each of 8 or 16 pieces of 0 ≤ a ≤ 15,
// about a centre at which m is a float (to 5e-11), so that little beside the last step is rounded. Relative
// errors: 1.3e-8 with 8 pieces, 6.3e-9 with 16. (One polynomial in 1 / (1 + 0.35·a) is as fast, but off by 7
// ulp, for that quotient is rounded.)
template <int kPieces>
struct TailPieces;

// Octaves of (1 + a)², 7 first.
template <>
struct TailPieces<8> {
  static constexpr int kEntries = 8, kDegree = 7;
  template <class V>
  static HEEDFUL_INLINE V Find(const V& a) {
    const V u = a + Set1(1.0f);
    return TopBits<0>(u * u);
  }
  static constexpr float kCentres[kEntries] = {0.706206501f, 1.40937841f, 2.40653849f, 3.81874156f,
                                               5.80937672f,  8.62415504f, 12.6299839f, 0.206511214f};
  static constexpr float kCoefficients[kDegree + 1][kEntries] = {
      {0.308008432f, 0.214259744f, 0.145716906f, 0.0984286442f, 0.0667958409f, 0.0456602946f, 0.0313925147f,
       0.42720893f},
      {-0.181424722f, -0.0969692245f, -0.0482689403f, -0.0230687279f, -0.0109000783f, -0.00516082114f,
       -0.00245532533f, -0.310718834f},
      {0.089942582f, 0.0387967378f, 0.0147779528f, 0.00516758999f, 0.00173660053f, 0.000576292921f,
       0.000190900726f, 0.181521013f},
      {-0.0393023156f, -0.0140966205f, -0.0042350702f, -0.00111168367f, -0.000270517747f, -6.36017066e-05f,
       -1.47553001e-05f, -0.0910791084f},
      {0.0155451167f, 0.00473119551f, 0.0011459752f, 0.000230397869f, 4.12180707e-05f, 6.93311267e-06f,
       1.13268788e-06f, 0.040676564f},
      {-0.00566277513f, -0.00148577371f, -0.000295320671f, -4.62834905e-05f, -6.17041042e-06f,
       -7.50082393e-07f, -8.6724512e-08f, -0.0164740887f},
      {0.00195616344f, 0.000450837542f, 7.53024069e-05f, 9.4158022e-06f, 9.54570964e-07f, 8.4780865e-08f,
       6.993635e-09f, 0.00627154112f},
      {-0.000631819363f, -0.000124112616f, -1.73292719e-05f, -1.71631734e-06f, -1.33245521e-07f,
       -8.55601989e-09f, -5.10077369e-10f, -0.00293040532f},
  };
};

// Quarters of octaves of 1 + a, 12 first.
template <>
struct TailPieces<16> {
  static constexpr int kEntries = 16, kDegree = 6;
  template <class V>
  static HEEDFUL_INLINE V Find(const V& a) {
    return TopBits<2>(a + Set1(1.0f));
  }
  static constexpr float kCentres[kEntries] = {1.24496841f,  1.74443245f,  2.24526596f, 2.73861313f,
                                               3.49168396f,  4.47754669f,  5.4838028f,  6.47737122f,
                                               7.95631409f,  9.95811462f,  11.9602661f, 13.9576263f,
                                               0.124481201f, 0.373736382f, 0.62292099f, 0.875369072f};
  static constexpr float kCoefficients[kDegree + 1][kEntries] = {
      {0.231317446f, 0.185648888f, 0.153904289f, 0.131175384f, 0.106567919f, 0.0851941705f, 0.0705385208f,
       0.0602163784f, 0.0493843667f, 0.0396696776f, 0.033127185f, 0.0284378752f, 0.45397082f, 0.379928887f,
       0.323765844f, 0.27971369f},
      {-0.110959373f, -0.0750903338f, -0.0533862188f, -0.0397036523f, -0.0268407911f, -0.0174814053f,
       -0.0121229431f, -0.00889844447f, -0.00602474948f, -0.003907084f, -0.0027323328f, -0.00201704423f,
       -0.342431456f, -0.256949037f, -0.197261736f, -0.15408957f},
      {0.0465882644f, 0.0273294281f, 0.0170190111f, 0.0112212207f, 0.00642418582f, 0.00346018188f,
       0.00202934653f, 0.00128892646f, 0.00072478957f, 0.000381245365f, 0.00022387928f, 0.000142362725f,
       0.205672294f, 0.141948849f, 0.100443669f, 0.0724142194f},
      {-0.0176521186f, -0.0091386186f, -0.00505796866f, -0.0029909811f, -0.00146969431f, -0.000662721926f,
       -0.000331458577f, -0.000183189564f, -8.60155706e-05f, -3.68628389e-05f, -1.82248677e-05f,
       -9.99921303e-06f, -0.105607636f, -0.0679647848f, -0.0448985845f, -0.0302327741f},
      {0.00615299307f, 0.00284731528f, 0.00141576887f, 0.000757504778f, 0.000323008368f, 0.000123186852f,
       5.29125173e-05f, 2.55719933e-05f, 1.0082962e-05f, 3.53406926e-06f, 1.47441767e-06f, 6.99110558e-07f,
       0.0481273979f, 0.029135555f, 0.0181220416f, 0.0114877382f},
      {-0.00201896485f, -0.00083923334f, -0.000377907942f, -0.000184456308f, -6.96502684e-05f,
       -2.25440472e-05f, -8.34622824e-06f, -3.54725967e-06f, -1.19261176e-06f, -3.41035701e-07f,
       -1.19826524e-07f, -4.89649707e-08f, -0.0200661216f, -0.0114895953f, -0.00669690548f, -0.00407442404f},
      {0.000610896677f, 0.000227692479f, 9.37403602e-05f, 4.24922691e-05f, 1.40750817e-05f, 3.86946476e-06f,
       1.2604163e-06f, 4.81205689e-07f, 1.32218062e-07f, 3.14091793e-08f, 9.41306055e-09f, 3.28264993e-09f,
       0.00780060794f, 0.0042163264f, 0.0021744566f, 0.00131025573f},
  };
};

// Beyond it Φ(−a) is 0.
constexpr float kNormalLimit = 14.5f;

// Φ(−a) = 2ⁿ·m·(1 + w) and e^(−a²/2) = 2ⁿ·(1 + w), 0 ≤ a ≤ kNormalLimit. Without FMA a² is rounded, which
// puts both off by a²/2 ulp.
template <class V>
struct NormalTail {
  V m, w, n;

  HEEDFUL_INLINE explicit NormalTail(const V& a) {
    using Pieces = TailPieces<kTableSize>;
    // a² = square + low = −2·(n·ln 2) + s, e^(−s/2) = 1 + w.
    const V square = a * a, low = Fma(a, a, Zero() - square);
    const Vec magic = Set1(12582912.0f);
    n = Fma(square, Set1(-0.721347520f), magic) - magic;
    // Twice ln 2 in two parts; n times the first is exact.
    const V s = Fma(n, Set1(1.386291504f), square) + Fma(n, Set1(2.85721354e-6f), low);
    const V piece = Pieces::Find(a);
    const V h = a - Lookup(Pieces::kCentres, piece);
    w = Fma(s, Set1(2.158542200e-5f), Set1(-2.615226445e-4f));
    w = Fma(w, s, Set1(2.604274200e-3f));
    w = Fma(w, s, Set1(-2.083315071e-2f));
    w = Fma(w, s, Set1(1.249999836e-1f));
    w = Fma(w, s, Set1(-0.5f)) * s;
    m = Lookup(Pieces::kCoefficients[Pieces::kDegree], piece);
    Unroll<Pieces::kDegree>([&](auto i) __attribute__((always_inline)) {
      m = Fma(m, h, Lookup(Pieces::kCoefficients[Pieces::kDegree - 1 - i], piece));
    });
  }

  // Φ(−a), within 1.9 ulp with 16 pieces, 2.1 with 8.
  HEEDFUL_INLINE V Value() const { return ScaleB(Fma(m, w, m), n); }
  // e^(−a²/2); times m it is Φ(−a), with a rounding more.
  HEEDFUL_INLINE V Exponential() const { return ScaleB(Set1(1.0f) + w, n); }
};

// erf x = x + x·P(x²) to |x| = ¾, ±(1 − 2·Φ(−√2·|x|)) beyond.
template <class V>
HEEDFUL_INLINE V Erf(const V& x) {
  const V a = Abs(x), tail = NormalTail<V>(Min(Set1(kNormalLimit), Set1(1.41421356f) * a)).Value();
  const V z = x * x;
  V p = Fma(z, Set1(-6.707179863e-4f), Set1(5.108874792e-3f));
  p = Fma(p, z, Set1(-2.683217599e-2f));
  p = Fma(p, z, Set1(1.128333242e-1f));
  p = Fma(p, z, Set1(-3.761261602e-1f));
  p = Fma(p, z, Set1(1.283791652e-1f));
  return Select(Less(a, Set1(0.75f)), Fma(x, p, x), CopySign(Fnma(Set1(2.0f), tail, Set1(1.0f)), x));
}
