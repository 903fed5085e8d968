// o[i, :] = Σ_j p[i, j] · v[j, :],  p[i, :] = softmax_j(s[i, :]),  lse[i] = ln Σ_j exp(s[i, j])
// over the keys j that query i sees; s is AttentionScores' of scale · q·kᵀ.
//
// Contract: AttentionForward in kernel_table.h. A query that sees no key gets o = 0 and lse = −∞. k and v are
// never read at rows ≥ keys. A value that is masked out for one query of a tile but seen by another is
// multiplied by an exact 0, so it must be finite for the former's sake. o may not overlap the inputs.
// Accuracy: float throughout; exponentials to 1.7e-7 relative. A format that rounds does so with q, k and v,
// and with exp(s − the maximum so far) where it meets v; row_sum is that of the numbers before.
// Source: FlashAttention-2 (Dao 2023), algorithm 1. Exponentials have base 2, the scale times log2(e) being
// applied where the maximum is subtracted. Where probabilities are wanted, scores are kept in their place
// until the sum is known.
//
// A block of keys meets a block of queries tile by tile: scores of kGemmRows queries × kKeyBlock keys stay in
// the first cache between the two products, the block of keys and values stays in the second.

constexpr int64_t kQueryBlock = 64;
constexpr int64_t kKeyBlock = 256 / kGemmColumns * kGemmColumns;
// Rows of scores are that far apart: a power of two would put them all into the same few cache sets.
constexpr int64_t kScoreRow = kKeyBlock + 16;
// Up to so many queries, packing keys costs more than dot products with keys in place.
constexpr int64_t kFewQueries = 4;
// Of a tile, in whole vectors.
constexpr int kTileRows = (kGemmRows + Vec::kLanes - 1) / Vec::kLanes * Vec::kLanes;

template <class Format>
struct ForwardScratch {
  float *q, *scores, *k, *v, *row_max, *row_sum;
  int64_t size;

  ForwardScratch(float* base, int64_t keys, int head_dim, int value_dim) {
    Scratch scratch{base};
    const int64_t block = AtMost(keys, kKeyBlock);
    q = scratch.Take(kQueryBlock * WordCount<Format>(head_dim));
    scores = scratch.Take(kGemmRows * kScoreRow);
    k = scratch.Take(PanelsSize<Format>(block, head_dim));
    v = scratch.Take(RightSideSize<Format>(block, value_dim));
    row_max = scratch.Take(kQueryBlock);
    row_sum = scratch.Take(kQueryBlock);
    size = scratch.used;
  }
};

template <class Format>
inline int64_t ForwardScratchSize(int64_t keys, int head_dim, int value_dim) {
  return ForwardScratch<Format>(nullptr, keys, head_dim, value_dim).size;
}

// y = x · factor over n elements.
inline void ScaleRow(const float* x, float* y, int64_t n, Vec factor) {
  ForLanes(n, [&](int64_t i, auto lanes) { lanes.Write(y + i, lanes.Read(x + i) * factor); });
}

// scores[j] = Σ_d q[d] · k[j, d], four keys at a time so that their sums overlap.
inline void DotScores(const float* q, const float* k, int64_t k_row, int64_t keys, int head_dim,
                      float* scores) {
  constexpr int kTogether = 4;
  int64_t j = 0;
  for (; j + kTogether <= keys; j += kTogether) {
    const float* row = k + j * k_row;
    Vec sum[kTogether];
    Unroll<kTogether>([&](auto u) { sum[u] = Zero(); });
    ForLanes(head_dim, [&](int64_t d, auto lanes) {
      const Vec x = lanes.Read(q + d);
      Unroll<kTogether>([&](auto u) { sum[u] = Fma(x, lanes.Read(row + u * k_row + d), sum[u]); });
    });
    Unroll<kTogether>([&](auto u) { scores[j + u] = ReduceAdd(sum[u]); });
  }
  for (; j < keys; ++j) scores[j] = Dot(q, k + j * k_row, head_dim);
}

// Panels of the keys, then the values where they are not read in place.
template <class Format>
inline int64_t PackedSize(int64_t keys, int head_dim, int value_dim) {
  return PanelsSize<Format>(keys, head_dim) + (Format::kRounds ? RightSideSize<Format>(keys, value_dim) : 0);
}
template <class Format>
inline void PackKeys(const AttentionKeys& a, float* packed) {
  if (a.angles.data) {
    // A panel's rows are turned while they are near.
    for (int64_t j = 0; j < a.keys; j += kGemmColumns) {
      const int64_t rows = AtMost(a.keys - j, kGemmColumns);
      for (int64_t i = 0; i < rows; ++i) {
        RotateRow(a.k + (j + i) * a.k_row, a.scratch + i * a.head_dim, a.angles, j + i, a.head_dim);
      }
      PackPanels<Format>(a.scratch, a.head_dim, rows, a.head_dim, packed + j * WordCount<Format>(a.head_dim));
    }
  } else {
    PackPanels<Format>(a.k, a.k_row, a.keys, a.head_dim, packed);
  }
  if constexpr (Format::kRounds)
    RightSide<Format>(a.v, a.v_row, a.keys, a.value_dim, packed + PanelsSize<Format>(a.keys, a.head_dim));
}

// The largest of a row's scores that it sees.
inline float SeenMaximum(const float* scores, const TileKeys& tile, Span seen) {
  const Vec lowest = Set1(-__builtin_inff());
  Vec max = Fold(
      tile.all.begin, tile.all.end, lowest, [=](int64_t j, auto lanes) { return lanes.Read(scores + j); },
      [](const auto& a, const auto& b) { return Max(a, b); });
  const auto masked = [&](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; j += Vec::kLanes)
      max = Max(max, KeepSpan(seen, j, Load(scores + j), lowest));
  };
  masked(tile.any.begin, tile.all.begin);
  masked(tile.all.end, tile.any.end);
  return ReduceMax(max);
}

// A row's scores become exp2((score − max) · unit), words for the product with the values; zero where it does
// not see. Gives their sum. The largest becomes exactly 1: what only one key is seen of stays as it is.
template <class Format>
inline float ExponentiateRow(float* scores, const TileKeys& tile, Span seen, Vec max, Vec unit) {
  Vec sum = Zero();
  const auto run = [&](int64_t begin, int64_t end, auto keep) __attribute__((always_inline)) {
    for (int64_t j = begin; j < end; j += kKeysTogether<Format>) {
      Vec p[Format::kTerms];
      Unroll<Format::kTerms>([&](auto term) {
        const int64_t at = j + term * Vec::kLanes;
        p[term] = keep(at, Exp2Down((Load(scores + at) - max) * unit));
        sum = sum + p[term];
      });
      Format::StoreWords(scores + j / Format::kTerms, p);
    }
  };
  const auto masked = [&](int64_t j, Vec p) { return KeepSpan(seen, j, p, Zero()); };
  run(tile.any.begin, tile.all.begin, masked);
  run(tile.all.begin, tile.all.end, [](int64_t, Vec p) { return p; });
  run(tile.all.end, tile.any.end, masked);
  return ReduceAdd(sum);
}

// `rows` rows of scores, of which `unit` > 0 makes logarithms to base 2, join their online softmax and become
// words. Rows take the steps together: their sums across lanes overlap. correction[i]: by what the earlier
// part of row i must be multiplied.
template <class Format>
inline void OnlineSoftmax(float* scores, const TileKeys& tile, const Span* seen, int rows, float unit,
                          float* row_max, float* row_sum, float* correction) {
  float max[kTileRows], sum[kTileRows];
  for (int i = 0; i < rows; ++i) max[i] = SeenMaximum(scores + i * kScoreRow, tile, seen[i]);
  const Vec factor = Set1(unit);
  ForLanes(rows, [&](int64_t i, auto lanes) {
    const Vec old = lanes.Read(row_max + i), larger = Max(old, lanes.Read(max + i));
    // −∞ while there are no keys but those that a bias hides.
    const Vec finite = Select(Equal(larger, Set1(-__builtin_inff())), Zero(), larger);
    lanes.Write(row_max + i, larger);
    lanes.Write(max + i, finite);
    lanes.Write(correction + i, Exp2Down((old - finite) * factor));
  });
  for (int i = 0; i < rows; ++i)
    sum[i] = ExponentiateRow<Format>(scores + i * kScoreRow, tile, seen[i], Set1(max[i]), factor);
  ForLanes(rows, [&](int64_t i, auto lanes) {
    lanes.Write(row_sum + i, Fma(lanes.Read(row_sum + i), lanes.Read(correction + i), lanes.Read(sum + i)));
  });
}

// Scores that were kept where probabilities go become them.
HEEDFUL_NOINLINE void FinishProbabilities(const AttentionForward& a, int64_t i, float unit, float row_max,
                                          float row_sum) {
  float* p = a.p + i * a.p_row;
  Span seen = SeenKeys(a, i);
  if (row_sum == 0) seen = {0, 0};
  ZeroRow(p - a.p_before, a.p_before + seen.begin);
  ZeroRow(p + seen.end, a.keys + a.p_after - seen.end);
  const Vec scale = Set1(unit), max = Set1(row_max), factor = Set1(1.0f / row_sum);
  ForLanes(seen.end - seen.begin, [&](int64_t j, auto lanes) {
    lanes.Write(p + seen.begin + j, Exp2Down((lanes.Read(p + seen.begin + j) - max) * scale) * factor);
  });
}

// Divides by the sums and writes lse for `rows` queries from `first` on.
template <class Format>
inline void FinishRows(const AttentionForward& a, const ForwardScratch<Format>& s, int64_t first,
                       int64_t rows, float unit) {
  for (int64_t i = 0; i < rows; ++i) {
    float* o = a.o + (first + i) * a.o_row;
    if (s.row_sum[i] == 0) {
      ZeroRow(o, a.value_dim);  // no key; max is −∞, and so is what lse becomes
    } else {
      ScaleRow(o, o, a.value_dim, Set1(1.0f / s.row_sum[i]));
    }
    if (a.p) FinishProbabilities(a, first + i, unit, s.row_max[i], s.row_sum[i]);
  }
  if (!a.lse) return;
  for (int64_t i = 0; i < rows; i += Vec::kLanes) {
    const Vec max = Load(s.row_max + i), sum = Load(s.row_sum + i);
    Store(s.row_max + i, Select(Equal(sum, Zero()), max, Fma(max, Set1(unit * kLn2), Log(sum))));
  }
  for (int64_t i = 0; i < rows; ++i) a.lse[(first + i) * a.lse_row] = s.row_max[i];
}

// The values of the block of `keys` keys at j0 as a right side.
template <class Format>
inline Matrix Values(const AttentionForward& a, const ForwardScratch<Format>& s, int64_t j0, int64_t keys) {
  if (Format::kRounds && a.packed) {
    const int64_t row = RoundUp(a.value_dim, Vec::kLanes);
    return {a.packed + PanelsSize<Format>(a.keys, a.head_dim) + j0 / Format::kTerms * row, row};
  }
  return RightSide<Format>(a.v + j0 * a.v_row, a.v_row, keys, a.value_dim, s.v);
}

// The scores of `rows` rows from `first` on are changed by their rules, and kept where probabilities go.
HEEDFUL_NOINLINE void ShapeRows(const AttentionForward& a, float* scores, int64_t first, int rows, int64_t j0,
                                Span any, const Span* seen, float factor) {
  const bool shaped = Shaped(a.scores);
  for (int i = 0; i < rows; ++i, scores += kScoreRow) {
    if (shaped) ShapeScores(a.scores, first + i, j0, any, factor, scores, nullptr);
    const Span own = seen[i];
    if (a.p) CopyRow(scores + own.begin, a.p + (first + i) * a.p_row + j0 + own.begin, own.end - own.begin);
  }
}

// `rows` ≤ kQueryBlock queries from `first` on, all their keys.
template <class Format>
inline void ForwardBlock(const AttentionForward& a, const ForwardScratch<Format>& s, int64_t first,
                         int64_t rows) {
  constexpr int kTerms = Format::kTerms;
  const int64_t q_row = WordCount<Format>(a.head_dim);
  // The sign of the scale is that of q, so that the largest score stays the largest.
  const float signed_factor = QueryFactor(a.scores),
              factor = signed_factor < 0 ? -signed_factor : signed_factor;
  for (int64_t i = 0; i < rows; ++i) {
    const float* q = a.q + (first + i) * a.q_row;
    if (a.q_angles.data) {
      RotateRow(q, s.scores, a.q_angles, first + i, a.head_dim);
      q = s.scores;
    }
    if (signed_factor < 0) {
      ScaleRow(q, s.scores, a.head_dim, Set1(-1.0f));
      q = s.scores;
    }
    Format::ConvertRow(q, a.head_dim, s.q + i * q_row);
  }
  for (int64_t i = 0; i < kQueryBlock; i += Vec::kLanes) {
    Store(s.row_max + i, Set1(-__builtin_inff()));
    Store(s.row_sum + i, Zero());
  }
  const bool in_place = !Format::kRounds && !a.packed && rows <= kFewQueries, shaped = Shaped(a.scores);
  // Not 0: −∞ is to stay what it is.
  const float unit = shaped ? 1.0f : factor > 1e-30f ? factor : 1e-30f;
  const int64_t tiles = RowTiles(rows);
  bool started[kQueryBlock] = {};  // tiles that have met keys
  const int64_t first_key = SeenKeys(a, first).begin / kGemmColumns * kGemmColumns,
                last_key = SeenKeys(a, first + rows - 1).end;
  for (int64_t j0 = first_key; j0 < last_key; j0 += kKeyBlock) {
    const int64_t keys = AtMost(last_key - j0, kKeyBlock);
    const float* k = a.k + j0 * a.k_row;
    const float* panels = a.packed ? a.packed + j0 * q_row : s.k;
    if (!a.packed && !in_place) PackPanels<Format>(k, a.k_row, keys, a.head_dim, s.k);
    const Matrix v = Values(a, s, j0, keys);

    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t begin = TileStart(rows, tiles, tile), end = TileStart(rows, tiles, tile + 1);
      const int tile_rows = static_cast<int>(end - begin);
      const TileKeys tile_keys(a, first + begin, first + end - 1, j0, keys, kKeysTogether<Format>);
      const Span any = tile_keys.any;
      if (any.Empty()) continue;
      const int64_t seen = any.end - any.begin;
      const float* q = s.q + begin * q_row;
      if (in_place) {
        for (int i = 0; i < tile_rows; ++i) {
          DotScores(q + i * q_row, k + any.begin * a.k_row, a.k_row, seen, a.head_dim,
                    s.scores + i * kScoreRow + any.begin);
        }
      } else {
        MultiplyByPanels<Format>({.a = q,
                                  .a_row = q_row,
                                  .a_k = 1,
                                  .b = panels + any.begin * q_row,
                                  .b_row = 0,
                                  .c = s.scores + any.begin,
                                  .c_row = kScoreRow,
                                  .k = q_row,
                                  .rows = tile_rows,
                                  .columns = 0,
                                  .accumulate = false},
                                 seen);
      }
      Span own[kGemmRows];
      for (int i = 0; i < tile_rows; ++i) own[i] = SeenKeys(a, first + begin + i).Within(j0, keys);
      if (shaped || a.p) ShapeRows(a, s.scores, first + begin, tile_rows, j0, any, own, factor);
      float correction[kTileRows];
      OnlineSoftmax<Format>(s.scores, tile_keys, own, tile_rows, unit, s.row_max + begin, s.row_sum + begin,
                            correction);
      float* o = a.o + (first + begin) * a.o_row;
      for (int i = 0; i < tile_rows && started[tile]; ++i) {
        if (correction[i] != 1) ScaleRow(o + i * a.o_row, o + i * a.o_row, a.value_dim, Set1(correction[i]));
      }
      MultiplyByRows<Format>({.a = s.scores + any.begin / kTerms,
                              .a_row = kScoreRow,
                              .a_k = 1,
                              .b = v.data + any.begin / kTerms * v.row,
                              .b_row = v.row,
                              .c = o,
                              .c_row = a.o_row,
                              .k = WordCount<Format>(seen),
                              .rows = tile_rows,
                              .columns = 0,
                              .accumulate = started[tile]},
                             a.value_dim);
      started[tile] = true;
    }
  }
  FinishRows(a, s, first, rows, unit);
}

template <class Format>
inline void AttentionForwardKernel(const AttentionForward& a) {
  const ForwardScratch<Format> scratch(a.scratch, a.keys, a.head_dim, a.value_dim);
  for (int64_t i = 0; i < a.queries; i += kQueryBlock) {
    ForwardBlock(a, scratch, i, AtMost(a.queries - i, kQueryBlock));
  }
}
