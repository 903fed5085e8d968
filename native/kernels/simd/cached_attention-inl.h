// A few queries of one key-value head against a run of the keys of its cache, streamed once:
//   o[r, :] = Σ_j p[r, j] · v[j, :],  p[r, j] = exp2(s[r, j] − max[r])
// the scores s in units of log 2 (attention_scores-inl.h), and the maximum and Σ_j p[r, j] of each row, for
// MergeCached to put runs together.
//
// Contract: CachedAttention in kernel_table.h. Included inside each instruction set's anonymous namespace,
// after attention-inl.h. Rows of the cache that lie outside of the run are never read. Accuracy: float
// throughout, whatever the format of the cache; exponentials to 1.8e-7 relative. Source: Flash-Decoding (Dao,
// Haziza, Massa & Sizov 2023): the online softmax of FlashAttention-2 over runs of keys.
//
// Both halves of a block of keys are read in order. While the keys are multiplied, the values of the block
// are asked for, and while these are, the keys of the next block: memory is never idle, and everything is
// near when its turn comes.

// Keys of a block at most: of f32 half as many, so that keys and values of one stay in the first cache.
constexpr int64_t kCachedBlock = kCachedRun;
// Rows at once: accumulators for as many times four vectors, beside the operands.
constexpr int kCachedRows = kGemmRows * kGemmVectors >= 24 ? 4 : 2;
constexpr int kCachedVectors = 4;
// From so many rows on, keys are turned into panels first: what that costs, all rows share, and no sums
// across lanes are left. Scores of four rows at once: eight sums.
constexpr int kPanelledRows = 3, kPanelRows = 4;

// How rows of each format are read, from element i on. Rows of bf16 and int8 are filled up to whole groups of
// 16 elements with zeros, so that whole vectors can be read. Part: element i of each lane of 32 bits.
struct CachedF32 {
  static constexpr int kBytes = 4;
  template <int>
  static Vec Part(Vec word) {
    return word;
  }
  static constexpr int64_t kBlock = kCachedBlock / 2;
  static constexpr bool kScaled = false;
  template <class Lanes>
  static Vec Read(const char* row, int64_t i, Lanes lanes) {
    return lanes.Read(reinterpret_cast<const float*>(row) + i);
  }
};
struct CachedBf16 {
  static constexpr int kBytes = 2;
  template <int kPart>
  static Vec Part(Vec word) {
    return kPart ? HighBf16(word) : LowBf16(word);
  }
  static constexpr int64_t kBlock = kCachedBlock;
  static constexpr bool kScaled = false;
  template <class Lanes>
  static Vec Read(const char* row, int64_t i, Lanes) {
    return LoadBf16(reinterpret_cast<const uint16_t*>(row) + i);
  }
};
struct CachedInt8 {
  static constexpr int kBytes = 1;
  template <int kPart>
  static Vec Part(Vec word) {
    return SignedByte<kPart>(word);
  }
  static constexpr int64_t kBlock = kCachedBlock;
  static constexpr bool kScaled = true;
  template <class Lanes>
  static Vec Read(const char* row, int64_t i, Lanes) {
    return LoadInt8(row + i);
  }
};

// Where things lie in the scratch of one call.
struct CachedScratch {
  float *q, *scores, *correction, *panel;
  int64_t q_row, size;

  CachedScratch(float* base, int64_t rows, int head_dim) {
    Scratch scratch{base};
    q_row = RoundUp(head_dim, kCacheGroup);
    q = scratch.Take(rows * q_row);
    scores = scratch.Take(rows * kCachedBlock);
    correction = scratch.Take(rows);
    panel = scratch.Take(q_row * Vec::kLanes);
    size = scratch.used;
  }
};

inline int64_t CachedScratchSize(int64_t rows, int head_dim) {
  return CachedScratch(nullptr, rows, head_dim).size;
}

inline const char* CachedRow(const char* base, int64_t row, int64_t group, int64_t j) {
  return base + j / kCacheGroup * group + j % kCacheGroup * row;
}

// Asks for `bytes` from p on.
inline void PrefetchBytes(const char* p, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) Prefetch(p + i);
}

// scores[r · kCachedBlock + u] = q[r] · k[u], u < kLanes / kRows, of keys that lie k_row bytes apart; those
// from n on become anything.
template <class Cache, int kRows, bool kAll>
inline void CachedScores(const float* q, int64_t q_row, const char* k, int64_t k_row, int64_t n, int dim,
                         float* scores) {
  constexpr int kLanes = Vec::kLanes, kKeys = kLanes / kRows;
  Vec sums[kLanes];
  const char* row = k;
  Unroll<kKeys>([&](auto u) {
    Unroll<kRows>([&](auto r) { sums[r * kKeys + u] = Zero(); });
    const auto add = [&](int64_t d, auto lanes) {
      const Vec x = Cache::Read(row, d, lanes);
      Unroll<kRows>(
          [&](auto r) { sums[r * kKeys + u] = Fma(lanes.Read(q + r * q_row + d), x, sums[r * kKeys + u]); });
    };
    int64_t d = 0;
    for (; d + 4 * kLanes <= dim; d += 4 * kLanes) {
      Unroll<4>([&](auto i) { add(d + i * kLanes, Whole{}); });
    }
    for (; d + kLanes <= dim; d += kLanes) add(d, Whole{});
    if (d < dim) add(d, Partial{static_cast<int>(dim - d)});
    if (kAll || u + 1 < n) row += k_row;
  });
  const Vec all = ReduceAddEach(sums);
  if constexpr (kRows == 1) {
    Store(scores, all);
  } else {
    float copy[kLanes];
    Store(copy, all);
    Unroll<kRows>(
        [&](auto r) { Unroll<kKeys>([&](auto u) { scores[r * kCachedBlock + u] = copy[r * kKeys + u]; }); });
  }
}

// The same of one key in each lane: word w of key u at panel[w · kLanes + u].
template <class Cache, int kRows>
inline void PanelScores(const float* q, int64_t q_row, const float* panel, int64_t words, float* scores) {
  constexpr int kParts = 4 / Cache::kBytes;
  Vec sums[kRows][2];
  Unroll<kRows>([&](auto r) { sums[r][0] = sums[r][1] = Zero(); });
  const auto add = [&](int64_t w, auto side) __attribute__((always_inline)) {
    const Vec word = Load(panel + w * Vec::kLanes);
    const float* x = q + w * kParts;
    Unroll<kParts>([&](auto part) __attribute__((always_inline)) {
      constexpr int kSum = (decltype(side)::value + decltype(part)::value) % 2;
      const Vec k = Cache::template Part<decltype(part)::value>(word);
      Unroll<kRows>([&](auto r) __attribute__((always_inline)) {
        sums[r][kSum] = Fma(Set1(x[r * q_row + part]), k, sums[r][kSum]);
      });
    });
  };
  int64_t w = 0;
  for (; w + 2 <= words; w += 2) {
    add(w, Index<0>{});
    add(w + 1, Index<1>{});
  }
  if (w < words) add(w, Index<0>{});
  Unroll<kRows>([&](auto r) { Store(scores + r * kCachedBlock, sums[r][0] + sums[r][1]); });
}

// f(first, rows at once) for all rows, kMost at once.
template <int kMost, class F>
inline __attribute__((always_inline)) void ForCachedRows(int64_t rows, F&& f) {
  int64_t r = 0;
  for (; r + kMost <= rows; r += kMost) f(r, Index<kMost>{});
  if constexpr (kMost > 2) {
    for (; r + 2 <= rows; r += 2) f(r, Index<2>{});
  }
  for (; r < rows; ++r) f(r, Index<1>{});
}

// Keys [j0, j0 + n): scores of all rows. The values are asked for in parts: so many lines at once would wait
// for each other.
template <class Cache>
inline void PanelScoresOfBlock(const CachedAttention& a, const CachedScratch& s, int64_t j0, int64_t n) {
  constexpr int64_t kKeys = Vec::kLanes;
  const int64_t words = (Cache::kBytes == 4 ? a.head_dim : s.q_row) * Cache::kBytes / 4;
  for (int64_t j = 0; j < n; j += kKeys) {
    const int64_t keys = AtMost(n - j, kKeys), quarter = keys * a.v_row / 4;
    const char* values = CachedRow(a.v, a.v_row, a.v_group, j0 + j);
    PrefetchBytes(values, quarter);
    TransposeKernel(reinterpret_cast<const float*>(CachedRow(a.k, a.k_row, a.k_group, j0 + j)), a.k_row / 4,
                    s.panel, kKeys, keys, words);
    PrefetchBytes(values + quarter, quarter);
    ForCachedRows<kPanelRows>(a.rows, [&](int64_t r, auto at_once) {
      PanelScores<Cache, at_once.value>(s.q + r * s.q_row, s.q_row, s.panel, words,
                                        s.scores + r * kCachedBlock + j);
    });
    PrefetchBytes(values + 2 * quarter, keys * a.v_row - 2 * quarter);
  }
}

// The same of kRows rows, with keys as they lie.
template <class Cache, int kRows>
inline void CachedScoresOfBlock(const CachedAttention& a, const CachedScratch& s, int64_t first, int64_t j0,
                                int64_t n) {
  constexpr int kKeys = Vec::kLanes / kRows;
  const int dim = static_cast<int>(Cache::kBytes == 4 ? a.head_dim : s.q_row);
  for (int64_t j = 0; j < n; j += kKeys) {
    const char* k = CachedRow(a.k, a.k_row, a.k_group, j0 + j);
    if (first == 0) {
      PrefetchBytes(CachedRow(a.v, a.v_row, a.v_group, j0 + j), AtMost(n - j, kKeys) * a.v_row);
    }
    const float* q = s.q + first * s.q_row;
    float* scores = s.scores + first * kCachedBlock + j;
    if (n - j >= kKeys) {
      CachedScores<Cache, kRows, true>(q, s.q_row, k, a.k_row, kKeys, dim, scores);
    } else {
      CachedScores<Cache, kRows, false>(q, s.q_row, k, a.k_row, n - j, dim, scores);
    }
  }
}

// Keys of the whole cache that row r sees.
inline Span CachedSeen(const CachedAttention& a, int64_t r) {
  const int64_t p = a.scores.position + r % a.queries;
  return {Clamp(p - a.scores.left, 0, a.end), Clamp(p + a.scores.right + 1, 0, a.end)};
}

// The scores of row r become p; its maximum and sum are updated. Of the n keys of the block those in `seen`
// are.
template <class Cache>
inline void CachedSoftmax(const CachedAttention& a, const CachedScratch& s, int64_t r, int64_t j0, Span seen,
                          int64_t n) {
  float* scores = s.scores + r * kCachedBlock;
  const Vec lowest = Set1(-kInfinity);
  const auto scales = [&](const char* base, int64_t row, int64_t group, int64_t j) {
    return Load(reinterpret_cast<const float*>(base + (j0 + j) / kCacheGroup * group + kCacheGroup * row) +
                (j0 + j) % kCacheGroup);
  };
  const bool shaped = Shaped(a.scores);
  if (shaped) {
    if constexpr (Cache::kScaled) {
      for (int64_t j = 0; j < n; j += Vec::kLanes)
        Store(scores + j, Load(scores + j) * scales(a.k, a.k_row, a.k_group, j));
    }
    ShapeScores(OfHead(a.scores, r / a.queries, a.bias_head, a.slope_head), r % a.queries, j0, seen, 1.0f,
                scores, nullptr);
  }
  Vec max = lowest;
  for (int64_t j = 0; j < n; j += Vec::kLanes) {
    Vec x = Load(scores + j);
    if constexpr (Cache::kScaled) {
      if (!shaped) x = x * scales(a.k, a.k_row, a.k_group, j);
    }
    if (j < seen.begin || j + Vec::kLanes > seen.end) x = KeepSpan(seen, j, x, lowest);
    Store(scores + j, x);
    max = Max(x, max);
  }
  const float before = a.row_max[r], block_max = ReduceMax(max),
              now = block_max > before ? block_max : before;
  // Nothing is seen so far: exp2(−∞ − 0) = 0.
  const Vec shift = Set1(now == -kInfinity ? 0.0f : now);
  float correction[Vec::kLanes];
  Store(correction, Exp2(Set1(before) - shift));
  Vec sum = Zero();
  for (int64_t j = 0; j < n; j += Vec::kLanes) {
    Vec p = Exp2(Load(scores + j) - shift);
    // Below the range of Exp2: what is not seen is exactly nothing.
    p = Select(Equal(Load(scores + j), lowest), Zero(), p);
    sum = sum + p;
    if constexpr (Cache::kScaled) p = p * scales(a.v, a.v_row, a.v_group, j);
    Store(scores + j, p);
  }
  a.row_max[r] = now;
  a.row_sum[r] = a.row_sum[r] * correction[0] + ReduceAdd(sum);
  s.correction[r] = correction[0];
}

// o[r, d] = o[r, d] · correction[r] + Σ_j p[r, j] · v[j, d] for kRows rows and kVectors vectors from d on.
template <class Cache, int kRows, int kVectors, class Lanes>
inline void CachedValues(const CachedAttention& a, const CachedScratch& s, int64_t first, int64_t j0,
                         int64_t n, int64_t d, bool ask, Lanes lanes) {
  Vec sums[kRows][kVectors];
  float* o = a.o + first * a.o_row + d;
  Unroll<kRows>([&](auto r) {
    const Vec correction = Set1(s.correction[first + r]);
    Unroll<kVectors>([&](auto i) { sums[r][i] = Load(o + r * a.o_row + i * Vec::kLanes) * correction; });
  });
  const float* p = s.scores + first * kCachedBlock;
  const char* next = CachedRow(a.k, a.k_row, a.k_group, j0 + Cache::kBlock);
  for (int64_t j1 = 0; j1 < n; j1 += kCacheGroup) {
    const char* row = CachedRow(a.v, a.v_row, a.v_group, j0 + j1);
    const int64_t end = AtMost(n - j1, kCacheGroup);
    for (int64_t j = 0; j < end; ++j, row += a.v_row) {
      if (ask) PrefetchBytes(next + j1 / kCacheGroup * a.k_group + j * a.k_row, a.k_row);
      Vec x[kVectors];
      Unroll<kVectors>([&](auto i) { x[i] = Cache::Read(row, d + i * Vec::kLanes, lanes); });
      Unroll<kRows>([&](auto r) {
        const Vec weight = Broadcast(p + r * kCachedBlock + j1 + j);
        Unroll<kVectors>([&](auto i) { sums[r][i] = Fma(weight, x[i], sums[r][i]); });
      });
    }
  }
  Unroll<kRows>([&](auto r) {
    Unroll<kVectors>([&](auto i) { Store(o + r * a.o_row + i * Vec::kLanes, sums[r][i]); });
  });
}

template <class Cache, int kRows>
inline void CachedValuesOfBlock(const CachedAttention& a, const CachedScratch& s, int64_t first, int64_t j0,
                                int64_t n, bool ask) {
  constexpr int kLanes = Vec::kLanes;
  const int64_t dim = Cache::kBytes == 4 ? a.value_dim : RoundUp(a.value_dim, kCacheGroup);
  ask = ask && first == 0;
  int64_t d = 0;
  for (; d + kCachedVectors * kLanes <= dim; d += kCachedVectors * kLanes) {
    CachedValues<Cache, kRows, kCachedVectors>(a, s, first, j0, n, d, ask && d == 0, Whole{});
  }
  for (; d + kLanes <= dim; d += kLanes) {
    CachedValues<Cache, kRows, 1>(a, s, first, j0, n, d, ask && d == 0, Whole{});
  }
  if (d < dim)
    CachedValues<Cache, kRows, 1>(a, s, first, j0, n, d, false, Partial{static_cast<int>(dim - d)});
}

template <class Cache>
void CachedAttentionRun(const CachedAttention& a) {
  const CachedScratch s(a.scratch, a.rows, a.head_dim);
  const Vec scale = Set1(QueryFactor(a.scores));
  int64_t lowest = a.end, highest = a.begin;  // keys that any row sees
  for (int64_t r = 0; r < a.rows; ++r) {
    float* q = s.q + r * s.q_row;
    for (int64_t d = 0; d < s.q_row; d += Vec::kLanes) Store(q + d, Zero());
    const float* given = a.q + r / a.queries * a.q_head + r % a.queries * a.q_row;
    if (a.q_angles.data) {
      RotateRow(given, q, a.q_angles, r % a.queries, a.head_dim);
      given = q;
    }
    ScaleRow(given, q, a.head_dim, scale);
    ZeroRow(a.o + r * a.o_row, a.o_row);
    a.row_max[r] = -kInfinity;
    a.row_sum[r] = 0;
    const Span seen = CachedSeen(a, r);
    if (seen.begin < lowest) lowest = seen.begin;
    if (seen.end > highest) highest = seen.end;
  }
  const int64_t begin = a.begin + (lowest > a.begin ? (lowest - a.begin) / Cache::kBlock * Cache::kBlock : 0);
  const int64_t end = highest;
  if (begin < end)
    PrefetchBytes(CachedRow(a.k, a.k_row, a.k_group, begin), AtMost(end - begin, 16) * a.k_row);
  for (int64_t j0 = begin; j0 < end; j0 += Cache::kBlock) {
    const int64_t n = AtMost(end - j0, Cache::kBlock);
    if (a.rows >= kPanelledRows) {
      PanelScoresOfBlock<Cache>(a, s, j0, n);
    } else {
      ForCachedRows<2>(a.rows, [&](int64_t r, auto at_once) {
        CachedScoresOfBlock<Cache, at_once.value>(a, s, r, j0, n);
      });
    }
    for (int64_t r = 0; r < a.rows; ++r) {
      CachedSoftmax<Cache>(a, s, r, j0, CachedSeen(a, r).Within(j0, n), n);
    }
    ForCachedRows<kCachedRows>(a.rows, [&](int64_t r, auto at_once) {
      CachedValuesOfBlock<Cache, at_once.value>(a, s, r, j0, n, j0 + Cache::kBlock < end);
    });
  }
}

// o = Σ_c w_c · o_c / Σ_c w_c · sum_c, w_c = exp2(max_c − max), over the runs of one row; 0 where no key was
// seen.
void MergeCached(const float* parts, int64_t part_step, const float* row_max, const float* row_sum,
                 int64_t row_step, int64_t count, int value_dim, float* o) {
  float max = -kInfinity;
  for (int64_t c = 0; c < count; ++c) {
    const float m = row_max[c * row_step];
    if (m > max) max = m;
  }
  ZeroRow(o, value_dim);
  if (max == -kInfinity) {
    // Nothing but −∞; a NaN among the sums shows all the same.
    float nothing = 0;
    for (int64_t c = 0; c < count; ++c) nothing += row_sum[c * row_step];
    if (nothing != nothing)
      ForLanes(value_dim, [&](int64_t d, auto lanes) { lanes.Write(o + d, Set1(nothing)); });
    return;
  }
  float sum = 0;
  for (int64_t c = 0; c < count; ++c) {
    const Vec weight = Exp2(Set1(row_max[c * row_step] - max));
    float w[Vec::kLanes];
    Store(w, weight);
    sum += w[0] * row_sum[c * row_step];
    const float* part = parts + c * part_step;
    ForLanes(value_dim, [&](int64_t d, auto lanes) {
      lanes.Write(o + d, Fma(weight, lanes.Read(part + d), lanes.Read(o + d)));
    });
  }
  ScaleRow(o, o, value_dim, Set1(1.0f / sum));
}

constexpr CachedAttentionKernels kCachedAttentionKernels = {
    .scratch = CachedScratchSize,
    .run = {CachedAttentionRun<CachedF32>, CachedAttentionRun<CachedBf16>, CachedAttentionRun<CachedInt8>},
    .merge = MergeCached,
};
