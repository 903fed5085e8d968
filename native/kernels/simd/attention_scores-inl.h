// From q·kᵀ to what the softmax is taken of, in units of log 2 (exponentials have base 2):
//   x = f · q·kᵀ;  softcap c: x = c·log2e · tanh x;  x += log2e · (bias[j] − slope · |p − j|)
// f is QueryFactor. Contract: AttentionScores in kernel_table.h. Sources: soft cap: Gemma 2 (2024), section
// 2; slopes: ALiBi (Press, Smith & Lewis 2021), |p − j| as in FlashAttention-2 where keys follow the query.

inline float QueryFactor(const AttentionScores& s) {
  return s.softcap > 0 ? s.scale / s.softcap : s.scale * kLog2E;
}
// Otherwise x is the score.
inline bool Shaped(const AttentionScores& s) { return s.softcap > 0 || s.bias || s.slopes; }

// The same rules for the query head h of a group.
inline AttentionScores OfHead(AttentionScores s, int64_t h, int64_t bias_head, int64_t slope_head) {
  if (s.bias) s.bias += h * bias_head;
  if (s.slopes) s.slopes += h * slope_head;
  return s;
}

// Row i, its scores of the keys [j0 + any.begin, j0 + any.end), which are multiplied by `factor` first.
// derivative, where not nullptr, becomes 1 − tanh². Not inlined: its constants would take the registers of
// the plain loops around it.
HEEDFUL_NOINLINE void ShapeScores(const AttentionScores& s, int64_t i, int64_t j0, Span any, float factor,
                                  float* scores, float* derivative) {
  float* x = scores + any.begin;
  const int64_t n = any.end - any.begin, from = j0 + any.begin;
  if (s.softcap > 0) {
    const Vec cap = Set1(s.softcap * kLog2E), f = Set1(factor);
    ForLanes(n, [&](int64_t j, auto lanes) {
      const Vec t = Tanh(lanes.Read(x + j) * f);
      if (derivative) lanes.Write(derivative + any.begin + j, Fnma(t, t, Set1(1.0f)));
      lanes.Write(x + j, t * cap);
    });
  } else if (factor != 1) {
    const Vec f = Set1(factor);
    ForLanes(n, [&](int64_t j, auto lanes) { lanes.Write(x + j, lanes.Read(x + j) * f); });
  }
  if (s.slopes) {
    const Vec slope = Set1(s.slopes[i * s.slope_row] * kLog2E);
    const int64_t p = s.position + i * s.position_step;
    ForLanes(n, [&](int64_t j, auto lanes) {
      const Vec distance = Abs(Set1(static_cast<float>(p - from - j)) - Load(kLaneNumbers));
      lanes.Write(x + j, Fnma(slope, distance, lanes.Read(x + j)));
    });
  }
  if (s.bias) {
    const float* bias = s.bias + i * s.bias_row + from;
    ForLanes(n, [&](int64_t j, auto lanes) {
      lanes.Write(x + j, Fma(lanes.Read(bias + j), Set1(kLog2E), lanes.Read(x + j)));
    });
  }
}
