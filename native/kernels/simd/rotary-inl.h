// Rotation of pairs (x0, x1) by an angle: y0 = x0 · cos − x1 · sin,  y1 = x1 · cos + x0 · sin.
// Pair i of n is (i, i + n), or (2i, 2i + 1) when interleaved. Elements from 2n on are copied.
//
// Contract: RowAngles and RotaryRows of kernel_table.h. y is x or does not overlap it.
// Source: RoFormer (Su et al. 2021), equation 34; the half style is that of GPT-NeoX and Llama checkpoints.

// Plain arithmetic that compilers turn into vectors of doubles: the angle is k·π/2 + r, |r| ≤ π/4 (rounded by
// adding and subtracting 1.5·2⁵²), sin r and cos r are Taylor polynomials (7e-12), and the quadrant, k mod 4
// in −2 … 2, turns them: cos = (1 − |k|)·cos r − k·(2 − |k|)·sin r. So sines and cosines are those of double,
// rounded to float.
inline void RotaryAngles(double position, const float* frequencies, int64_t n, double scale, float* angles) {
  constexpr double kMagic = 6755399441055744.0;
  for (int64_t i = 0; i < n; ++i) {
    const double angle = position * static_cast<double>(frequencies[i]);
    const double turns = angle * 0.63661977236758134 + kMagic - kMagic;
    const double r = (angle - turns * 1.5707963267948966) - turns * 6.123233995736766e-17;
    const double quadrant = turns - 4 * (turns * 0.25 + kMagic - kMagic);
    const double z = r * r;
    const double s =
        r +
        r * z * (-1.0 / 6 + z * (1.0 / 120 + z * (-1.0 / 5040 + z * (1.0 / 362880 - z * (1.0 / 39916800)))));
    const double c =
        1 + z * (-0.5 + z * (1.0 / 24 + z * (-1.0 / 720 + z * (1.0 / 40320 + z * (-1.0 / 3628800 +
                                                                                  z * (1.0 / 479001600))))));
    const double even = scale * (1 - __builtin_fabs(quadrant));
    const double odd = scale * quadrant * (2 - __builtin_fabs(quadrant));
    angles[i] = static_cast<float>(even * c - odd * s);
    angles[n + i] = static_cast<float>(even * s + odd * c);
  }
}

inline void RotateHalves(const float* x, float* y, const float* angles, int half, float sign) {
  ForLanes(half, [&](int64_t i, auto lanes) {
    const Vec x0 = lanes.Read(x + i), x1 = lanes.Read(x + half + i);
    const Vec c = lanes.Read(angles + i), s = lanes.Read(angles + half + i) * Set1(sign);
    lanes.Write(y + i, Fnma(x1, s, x0 * c));
    lanes.Write(y + half + i, Fma(x0, s, x1 * c));
  });
}

// Through a small copy, so that y may be x and the compiler still sees independent pairs.
inline void RotatePairs(const float* x, float* y, const float* angles, int half, float sign) {
  constexpr int kPairs = 16;
  for (int first = 0; first < half; first += kPairs) {
    const int pairs = half - first < kPairs ? half - first : kPairs;
    float copy[2 * kPairs];
    memcpy(copy, x + 2 * first, sizeof(float) * 2 * pairs);
    for (int i = 0; i < pairs; ++i) {
      const float x0 = copy[2 * i], x1 = copy[2 * i + 1], c = angles[first + i],
                  s = angles[half + first + i] * sign;
      y[2 * (first + i)] = x0 * c - x1 * s;
      y[2 * (first + i) + 1] = x1 * c + x0 * s;
    }
  }
}

// The row at x, by the angles of row r; y may be x.
inline void RotateRow(const float* x, float* y, const RowAngles& angles, int64_t r, int head_dim,
                      float sign = 1) {
  const float* const own = angles.data + r * angles.row;
  const int turned = 2 * angles.pairs;
  if (angles.interleaved) {
    RotatePairs(x, y, own, angles.pairs, sign);
  } else {
    RotateHalves(x, y, own, angles.pairs, sign);
  }
  if (y != x && turned < head_dim) memcpy(y + turned, x + turned, sizeof(float) * (head_dim - turned));
}

inline void Rotate(const RotaryRows& a) {
  for (int64_t r = 0; r < a.rows; ++r)
    RotateRow(a.x + r * a.x_row, a.y + r * a.y_row, a.angles, r, a.head_dim, a.inverse ? -1.0f : 1.0f);
}
