// o[i, :] = Σ_j p[i, j] · v[j, :],  p[i, :] = softmax_j(s[i, :]),  lse[i] = ln Σ_j exp(s[i, j])
// over the keys j that query i sees; s is AttentionScores' of scale · q·kᵀ.
//
// Contract: AttentionForward in kernel_table.h. A query that sees no key gets o = 0 and lse = −∞. k and v are
// never read at rows ≥ keys. A value that is masked out for one query of a tile but seen by another is
// multiplied by an exact 0, so it must be finite for the former's sake. o may not overlap the inputs.
// Accuracy: float throughout; exponentials to 1.8e-7 relative.
// Source: FlashAttention-2 (Dao 2023), algorithm 1, with the maximum only applied when it grows. Exponentials
// have base 2, log2(e) being folded into q. Where probabilities are wanted, scores are kept in their place
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

struct ForwardScratch {
  float *q, *scores, *k, *v, *row_max, *row_sum;
  int64_t size;

  ForwardScratch(float* base, int64_t keys, int head_dim, int value_dim) {
    Scratch scratch{base};
    const int64_t block = AtMost(keys, kKeyBlock);
    q = scratch.Take(kQueryBlock * head_dim);
    scores = scratch.Take(kGemmRows * kScoreRow);
    k = scratch.Take(PanelsSize(block, head_dim));
    v = scratch.Take(WholeVectorsSize(block, value_dim));
    row_max = scratch.Take(kQueryBlock);
    row_sum = scratch.Take(kQueryBlock);
    size = scratch.used;
  }
};

inline int64_t ForwardScratchSize(int64_t keys, int head_dim, int value_dim) {
  return ForwardScratch(nullptr, keys, head_dim, value_dim).size;
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

inline int64_t PackedSize(int64_t keys, int head_dim, int) { return PanelsSize(keys, head_dim); }
inline void PackKeys(const float* k, int64_t k_row, const float*, int64_t, int64_t keys, int head_dim, int,
                     float* packed) {
  PackPanels(k, k_row, keys, head_dim, packed);
}

// The next scores of a row join its online softmax. Those in `seen` count; they become exp2(score − max), the
// others of the tile zero; the running maximum and sum are updated. Returns by what the earlier part must be
// multiplied (1: nothing to do).
inline float OnlineSoftmax(float* scores, const TileKeys& tile, Span seen, bool first, float* row_max,
                           float* row_sum) {
  const Span any = tile.any, all = tile.all;
  const Vec lowest = Set1(-__builtin_inff());
  Vec max = lowest;
  for (int64_t j = any.begin; j < all.begin; j += Vec::kLanes) {
    max = Max(max, KeepSpan(seen, j, Load(scores + j), lowest));
  }
  for (int64_t j = all.begin; j < all.end; j += Vec::kLanes) max = Max(max, Load(scores + j));
  for (int64_t j = all.end; j < any.end; j += Vec::kLanes) {
    max = Max(max, KeepSpan(seen, j, Load(scores + j), lowest));
  }
  const float block_max = ReduceMax(max);
  float correction = 1;
  if (first) {
    *row_max = block_max;
  } else if (block_max > *row_max) {
    StorePartial(&correction, Exp2(Set1(*row_max - block_max)), 1);
    *row_max = block_max;
  }
  // −∞ while there are no keys but those that a bias hides.
  const Vec shift = Set1(*row_max == -__builtin_inff() ? 0.0f : *row_max);
  Vec sum = Zero();
  for (int64_t j = any.begin; j < all.begin; j += Vec::kLanes) {
    const Vec p = KeepSpan(seen, j, Exp2(Load(scores + j) - shift), Zero());
    sum = sum + p;
    Store(scores + j, p);
  }
  for (int64_t j = all.begin; j < all.end; j += Vec::kLanes) {
    const Vec p = Exp2(Load(scores + j) - shift);
    sum = sum + p;
    Store(scores + j, p);
  }
  for (int64_t j = all.end; j < any.end; j += Vec::kLanes) {
    const Vec p = KeepSpan(seen, j, Exp2(Load(scores + j) - shift), Zero());
    sum = sum + p;
    Store(scores + j, p);
  }
  *row_sum = *row_sum * correction + ReduceAdd(sum);
  return correction;
}

// Scores that were kept where probabilities go become them.
HEEDFUL_NOINLINE void FinishProbabilities(const AttentionForward& a, int64_t i, float row_max,
                                          float row_sum) {
  float* p = a.p + i * a.p_row;
  Span seen = SeenKeys(a, i);
  if (row_sum == 0) seen = {0, 0};
  ZeroRow(p - a.p_before, a.p_before + seen.begin);
  ZeroRow(p + seen.end, a.keys + a.p_after - seen.end);
  const Vec shift = Set1(row_max), factor = Set1(1.0f / row_sum);
  ForLanes(seen.end - seen.begin, [&](int64_t j, auto lanes) {
    lanes.Write(p + seen.begin + j, Exp2(lanes.Read(p + seen.begin + j) - shift) * factor);
  });
}

// Divides by the sums and writes lse for `rows` queries from `first` on.
inline void FinishRows(const AttentionForward& a, const ForwardScratch& s, int64_t first, int64_t rows) {
  for (int64_t i = 0; i < rows; ++i) {
    float* o = a.o + (first + i) * a.o_row;
    if (s.row_sum[i] == 0) {
      ZeroRow(o, a.value_dim);  // no key; max is −∞, and so is what lse becomes
    } else {
      ScaleRow(o, o, a.value_dim, Set1(1.0f / s.row_sum[i]));
    }
    if (a.p) FinishProbabilities(a, first + i, s.row_max[i], s.row_sum[i]);
  }
  if (!a.lse) return;
  for (int64_t i = 0; i < rows; i += Vec::kLanes) {
    const Vec max = Load(s.row_max + i), sum = Load(s.row_sum + i);
    Store(s.row_max + i, Select(Equal(sum, Zero()), max, Fma(max, Set1(kLn2), Log(sum))));
  }
  for (int64_t i = 0; i < rows; ++i) a.lse[(first + i) * a.lse_row] = s.row_max[i];
}

// `rows` ≤ kQueryBlock queries from `first` on, all their keys.
inline void ForwardBlock(const AttentionForward& a, const ForwardScratch& s, int64_t first, int64_t rows) {
  const Vec factor = Set1(QueryFactor(a.scores));
  for (int64_t i = 0; i < rows; ++i) {
    ScaleRow(a.q + (first + i) * a.q_row, s.q + i * a.head_dim, a.head_dim, factor);
  }
  for (int64_t i = 0; i < kQueryBlock; i += Vec::kLanes) {
    Store(s.row_max + i, Set1(-__builtin_inff()));
    Store(s.row_sum + i, Zero());
  }
  const bool in_place = !a.packed && rows <= kFewQueries, shaped = Shaped(a.scores);
  const int64_t tiles = RowTiles(rows);
  bool started[kQueryBlock] = {};  // tiles that have met keys
  const int64_t first_key = SeenKeys(a, first).begin / kGemmColumns * kGemmColumns,
                last_key = SeenKeys(a, first + rows - 1).end;
  for (int64_t j0 = first_key; j0 < last_key; j0 += kKeyBlock) {
    const int64_t keys = AtMost(last_key - j0, kKeyBlock);
    const float* k = a.k + j0 * a.k_row;
    const float* panels = a.packed ? a.packed + j0 * a.head_dim : s.k;
    if (!a.packed && !in_place) PackPanels(k, a.k_row, keys, a.head_dim, s.k);
    const Matrix v = WholeVectors(a.v + j0 * a.v_row, a.v_row, keys, a.value_dim, s.v);

    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t begin = TileStart(rows, tiles, tile), end = TileStart(rows, tiles, tile + 1);
      const int tile_rows = static_cast<int>(end - begin);
      const TileKeys tile_keys(a, first + begin, first + end - 1, j0, keys);
      const Span any = tile_keys.any;
      if (any.Empty()) continue;
      const int64_t seen = any.end - any.begin;
      const float* q = s.q + begin * a.head_dim;
      if (in_place) {
        for (int i = 0; i < tile_rows; ++i) {
          DotScores(q + i * a.head_dim, k + any.begin * a.k_row, a.k_row, seen, a.head_dim,
                    s.scores + i * kScoreRow + any.begin);
        }
      } else {
        MultiplyByPanels({.a = q,
                          .a_row = a.head_dim,
                          .a_k = 1,
                          .b = panels + any.begin * a.head_dim,
                          .b_row = 0,
                          .c = s.scores + any.begin,
                          .c_row = kScoreRow,
                          .k = a.head_dim,
                          .rows = tile_rows,
                          .columns = 0,
                          .accumulate = false},
                         seen);
      }
      float* o = a.o + (first + begin) * a.o_row;
      for (int i = 0; i < tile_rows; ++i) {
        float* scores = s.scores + i * kScoreRow;
        const int64_t row = first + begin + i;
        const Span own = SeenKeys(a, row).Within(j0, keys);
        if (shaped) ShapeScores(a.scores, row, j0, any, 1, scores, nullptr);
        if (a.p) CopyRow(scores + own.begin, a.p + row * a.p_row + j0 + own.begin, own.end - own.begin);
        const float correction = OnlineSoftmax(scores, tile_keys, own, !started[tile], s.row_max + begin + i,
                                               s.row_sum + begin + i);
        if (correction != 1) ScaleRow(o + i * a.o_row, o + i * a.o_row, a.value_dim, Set1(correction));
      }
      MultiplyByRows({.a = s.scores + any.begin,
                      .a_row = kScoreRow,
                      .a_k = 1,
                      .b = v.data + any.begin * v.row,
                      .b_row = v.row,
                      .c = o,
                      .c_row = a.o_row,
                      .k = seen,
                      .rows = tile_rows,
                      .columns = 0,
                      .accumulate = started[tile]},
                     a.value_dim);
      started[tile] = true;
    }
  }
  FinishRows(a, s, first, rows);
}

inline void AttentionForwardKernel(const AttentionForward& a) {
  const ForwardScratch scratch(a.scratch, a.keys, a.head_dim, a.value_dim);
  for (int64_t i = 0; i < a.queries; i += kQueryBlock) {
    ForwardBlock(a, scratch, i, AtMost(a.queries - i, kQueryBlock));
  }
}
