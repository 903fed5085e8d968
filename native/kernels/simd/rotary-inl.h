// Rotation of pairs (x0, x1) by an angle: y0 = x0 · cos − x1 · sin,  y1 = x1 · cos + x0 · sin.
// Pair i of r / 2 is (i, i + r / 2), or (2i, 2i + 1) when interleaved; r = rotary_dim. Elements from r on are
// copied.
//
// Contract: AttentionKernels::rotate in kernel_table.h. y is x or does not overlap it.
// Source: RoFormer (Su et al. 2021), equation 34; the half style is that of GPT-NeoX and Llama checkpoints.

inline void RotateHalves(const float* x, float* y, const float* cosine, const float* sine, int half) {
  ForLanes(half, [&](int64_t i, auto lanes) {
    const Vec x0 = lanes.Read(x + i), x1 = lanes.Read(x + half + i);
    const Vec c = lanes.Read(cosine + i), s = lanes.Read(sine + i);
    lanes.Write(y + i, Fnma(x1, s, x0 * c));
    lanes.Write(y + half + i, Fma(x0, s, x1 * c));
  });
}

// Through a small copy, so that y may be x and the compiler still sees independent pairs.
inline void RotatePairs(const float* x, float* y, const float* cosine, const float* sine, int half) {
  constexpr int kPairs = 16;
  for (int first = 0; first < half; first += kPairs) {
    const int pairs = half - first < kPairs ? half - first : kPairs;
    float copy[2 * kPairs];
    memcpy(copy, x + 2 * first, sizeof(float) * 2 * pairs);
    for (int i = 0; i < pairs; ++i) {
      const float x0 = copy[2 * i], x1 = copy[2 * i + 1], c = cosine[first + i], s = sine[first + i];
      y[2 * (first + i)] = x0 * c - x1 * s;
      y[2 * (first + i) + 1] = x1 * c + x0 * s;
    }
  }
}

inline void Rotate(const float* x, float* y, const float* cosine, const float* sine, int rotary_dim,
                   int head_dim, bool interleaved) {
  if (interleaved) {
    RotatePairs(x, y, cosine, sine, rotary_dim / 2);
  } else {
    RotateHalves(x, y, cosine, sine, rotary_dim / 2);
  }
  if (y != x && rotary_dim < head_dim)
    memcpy(y + rotary_dim, x + rotary_dim, sizeof(float) * (head_dim - rotary_dim));
}
