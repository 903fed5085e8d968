// With the scores s, p = exp(s − lse), δ[i] = Σ_e dO[i, e] · o[i, e]:
//   dV[j, :] = Σ_i p[i, j] · dO[i, :]          dP[i, j] = Σ_e dO[i, e] · v[j, e]
//   dBias[i, j] = p[i, j] · (dP[i, j] − δ[i])  dS = scale · dBias, with a soft cap times 1 − tanh²
//   dQ[i, :] = Σ_j dS[i, j] · k[j, :]          dK[j, :] = Σ_i dS[i, j] · q[i, :]
// over the keys j that query i sees; dK and dV sum over the query heads that share the key-value head.
//
// Contract: AttentionBackward in kernel_table.h. k and v are never read at rows ≥ keys. Outputs may not
// overlap anything. Sums run in a fixed order: query heads, blocks of keys, blocks of queries. Accuracy:
// float throughout; exponentials to 1.7e-7 relative. A format that rounds does so with q, k, v and dO, and
// with p and dS where they are multiplied. Source: FlashAttention-2 (Dao 2023), algorithm 2.

constexpr int64_t kGradientQueries = 64;
constexpr int64_t kGradientKeys = 128 / kGemmColumns * kGemmColumns;
constexpr int64_t kGradientRow = kGradientKeys + 16;  // see kScoreRow

template <class Format>
struct BackwardScratch {
  float *delta, *p, *d_s, *words, *derivative, *k_panels, *v_panels, *k, *q, *d_o;
  int64_t size;

  BackwardScratch(float* base, int64_t queries, int64_t keys, int head_dim, int value_dim) {
    Scratch scratch{base};
    const int64_t key_block = AtMost(keys, kGradientKeys), query_block = AtMost(queries, kGradientQueries);
    delta = scratch.Take(queries);
    p = scratch.Take(query_block * kGradientRow);
    d_s = scratch.Take(query_block * kGradientRow);
    words = scratch.Take(Format::kTerms > 1 ? kGemmRows * kGradientRow : 0);
    derivative = scratch.Take(kGradientRow);
    k_panels = scratch.Take(PanelsSize<Format>(key_block, head_dim));
    v_panels = scratch.Take(PanelsSize<Format>(key_block, value_dim));
    k = scratch.Take(RightSideSize<Format>(key_block, head_dim));
    q = scratch.Take(BothSidesSize<Format>(query_block, head_dim));
    d_o = scratch.Take(BothSidesSize<Format>(query_block, value_dim));
    size = scratch.used;
  }
};

template <class Format>
inline int64_t BackwardScratchSize(int64_t queries, int64_t keys, int head_dim, int value_dim) {
  return BackwardScratch<Format>(nullptr, queries, keys, head_dim, value_dim).size;
}

// Scores, times to_log2, become probabilities and dP becomes dS over the keys that a query sees; zero in the
// rest of the tile.
inline void GradientRow(float* scores, float* gradient, const TileKeys& tile, Span seen, float to_log2,
                        float scale, float lse, float delta) {
  // −∞ where a bias hides all keys.
  const Vec unit = Set1(to_log2), shift = Set1(lse == -__builtin_inff() ? 0.0f : -lse * kLog2E),
            mean = Set1(delta), factor = Set1(scale);
  const auto masked = [&](int64_t begin, int64_t end) __attribute__((always_inline)) {
    for (int64_t j = begin; j < end; j += Vec::kLanes) {
      const Vec p = Exp2Down(Fma(Load(scores + j), unit, shift));
      Store(scores + j, KeepSpan(seen, j, p, Zero()));
      Store(gradient + j, KeepSpan(seen, j, p * (Load(gradient + j) - mean) * factor, Zero()));
    }
  };
  masked(tile.any.begin, tile.all.begin);
  for (int64_t j = tile.all.begin; j < tile.all.end; j += Vec::kLanes) {
    const Vec p = Exp2Down(Fma(Load(scores + j), unit, shift));
    Store(scores + j, p);
    Store(gradient + j, p * (Load(gradient + j) - mean) * factor);
  }
  masked(tile.all.end, tile.any.end);
}

// One query head: pointers of AttentionBackward moved there.
struct BackwardHead {
  const float *q, *o, *d_o, *lse;
  float *d_q, *d_bias;
  AttentionScores scores;
};

// Σ_e dO[e] · o[e], of the dO that is multiplied with v.
template <class Format>
inline float Delta(const float* d_o, const float* o, int64_t n) {
  Vec sum = Zero();
  ForLanes(n, [&](int64_t e, auto lanes) {
    sum = Fma(Format::Round(lanes.Read(d_o + e)), lanes.Read(o + e), sum);
  });
  return ReduceAdd(sum);
}

// One row of a tile: scores and dP become p and dS.
inline void GradientRowOf(const AttentionBackward& a, const BackwardHead& head, const TileKeys& tile,
                          int64_t row, int64_t j0, int64_t keys, float delta, float* derivative, float* p,
                          float* d_s) {
  const Span any = tile.any, own = SeenKeys(a, row).Within(j0, keys);
  const float scale = head.scores.scale, lse = head.lse[row * a.lse_row];
  if (!Shaped(head.scores)) {
    GradientRow(p, d_s, tile, own, scale * kLog2E, scale, lse, delta);
    return;
  }
  const bool capped = head.scores.softcap > 0;
  ShapeScores(head.scores, row, j0, any, QueryFactor(head.scores), p, capped ? derivative : nullptr);
  GradientRow(p, d_s, tile, own, 1, 1, lse, delta);
  float* const d_bias = head.d_bias ? head.d_bias + row * a.d_bias_row + j0 : nullptr;
  if (d_bias) {
    ForLanes(own.end - own.begin, [&](int64_t j, auto lanes) {
      lanes.Write(d_bias + own.begin + j,
                  lanes.Read(d_bias + own.begin + j) + lanes.Read(d_s + own.begin + j));
    });
  }
  const Vec factor = Set1(scale);
  ForLanes(any.end - any.begin, [&](int64_t j, auto lanes) {
    const Vec g = lanes.Read(d_s + any.begin + j) * factor;
    lanes.Write(d_s + any.begin + j, capped ? g * lanes.Read(derivative + any.begin + j) : g);
  });
}

// The tile of rows' p and dS, as they are multiplied. dS is the left side of two products, by words along
// keys (given back) and by words along queries.
template <class Format>
inline const float* GradientWords(const BackwardScratch<Format>& s, Span any, int rows, float* p,
                                  float* d_s) {
  const int64_t keys = any.end - any.begin;
  p += any.begin;
  d_s += any.begin;
  if constexpr (!Format::kRounds) return d_s;
  float* const words = Format::kTerms > 1 ? s.words : d_s;
  for (int i = 0; i < rows; ++i) {
    Format::ConvertRow(d_s + i * kGradientRow, keys, words + i * kGradientRow);
    if (Format::kTerms == 1) Format::ConvertRow(p + i * kGradientRow, keys, p + i * kGradientRow);
  }
  return words;
}

// The block of keys [j0, j0 + keys), packed in scratch, against the queries [i0, i0 + queries).
template <class Format>
inline void BackwardBlock(const AttentionBackward& a, const BackwardScratch<Format>& s,
                          const BackwardHead& head, Matrix k, int64_t j0, int64_t keys, int64_t i0,
                          int64_t queries) {
  constexpr int kTerms = Format::kTerms;
  const Span block = TileKeys(a, i0, i0 + queries - 1, j0, keys, Vec::kLanes).any;
  if (block.Empty()) return;
  const BothSides q = MakeBothSides<Format>(head.q + i0 * a.q_row, a.q_row, queries, a.head_dim, s.q),
                  d_o = MakeBothSides<Format>(head.d_o + i0 * a.d_o_row, a.d_o_row, queries, a.value_dim,
                                              s.d_o);

  const int64_t row_tiles = RowTiles(queries);
  for (int64_t tile = 0; tile < row_tiles; ++tile) {
    const int64_t begin = TileStart(queries, row_tiles, tile), end = TileStart(queries, row_tiles, tile + 1);
    const int rows = static_cast<int>(end - begin);
    float *p = s.p + begin * kGradientRow, *d_s = s.d_s + begin * kGradientRow;
    const TileKeys tile_keys(a, i0 + begin, i0 + end - 1, j0, keys, Vec::kLanes);
    const Span any = tile_keys.any;
    const int64_t seen = any.end - any.begin;
    if (seen > 0) {
      GemmTile scores = {.a = q.left.data + begin * q.left.row,
                         .a_row = q.left.row,
                         .a_k = 1,
                         .b = s.k_panels + any.begin * WordCount<Format>(a.head_dim),
                         .b_row = 0,
                         .c = p + any.begin,
                         .c_row = kGradientRow,
                         .k = WordCount<Format>(a.head_dim),
                         .rows = rows,
                         .columns = 0,
                         .accumulate = false};
      MultiplyByPanels<Format>(scores, seen);
      scores.a = d_o.left.data + begin * d_o.left.row;
      scores.a_row = d_o.left.row;
      scores.b = s.v_panels + any.begin * WordCount<Format>(a.value_dim);
      scores.c = d_s + any.begin;
      scores.k = WordCount<Format>(a.value_dim);
      MultiplyByPanels<Format>(scores, seen);
    }
    // What other tiles see.
    const Span own = seen > 0 ? Span{any.begin, RoundUp(any.end, Vec::kLanes)} : Span{block.end, block.end};
    for (int i = 0; i < rows; ++i) {
      float *row = p + i * kGradientRow, *gradient = d_s + i * kGradientRow;
      if (seen > 0) {
        GradientRowOf(a, head, tile_keys, i0 + begin + i, j0, keys, s.delta[i0 + begin + i], s.derivative,
                      row, gradient);
      }
      ZeroRow(row + block.begin, own.begin - block.begin);
      ZeroRow(gradient + block.begin, own.begin - block.begin);
      ZeroRow(row + own.end, block.end - own.end);
      ZeroRow(gradient + own.end, block.end - own.end);
    }
    if (seen > 0) {
      MultiplyByRows<Format>({.a = GradientWords(s, any, rows, p, d_s),
                              .a_row = kGradientRow,
                              .a_k = 1,
                              .b = k.data + any.begin / kTerms * k.row,
                              .b_row = k.row,
                              .c = head.d_q + (i0 + begin) * a.d_q_row,
                              .c_row = a.d_q_row,
                              .k = WordCount<Format>(seen),
                              .rows = rows,
                              .columns = 0,
                              .accumulate = true},
                             a.head_dim);
    }
  }

  if constexpr (kTerms > 1) {
    Format::PackRows(s.p, kGradientRow, queries, block.end, s.p, kGradientRow);
    Format::PackRows(s.d_s, kGradientRow, queries, block.end, s.d_s, kGradientRow);
  }
  const int64_t columns = block.end - block.begin, key_tiles = RowTiles(columns);
  int64_t from = 0, to = 0;  // the queries that see some of the tile of keys
  for (int64_t tile = 0; tile < key_tiles; ++tile) {
    const int64_t begin = block.begin + TileStart(columns, key_tiles, tile),
                  end = block.begin + TileStart(columns, key_tiles, tile + 1);
    while (from < queries && SeenKeys(a, i0 + from).end <= j0 + begin) ++from;
    while (to < queries && SeenKeys(a, i0 + to).begin < j0 + end) ++to;
    if (from >= to) continue;
    // The first word may hold a query before them, which sees none of these keys: zero.
    const int64_t first = from / kTerms;
    GemmTile tile_of_keys = {.a = s.p + first * kGradientRow + begin,
                             .a_row = 1,
                             .a_k = kGradientRow,
                             .b = d_o.right.data + first * d_o.right.row,
                             .b_row = d_o.right.row,
                             .c = a.d_v + (j0 + begin) * a.d_v_row,
                             .c_row = a.d_v_row,
                             .k = WordCount<Format>(to) - first,
                             .rows = static_cast<int>(end - begin),
                             .columns = 0,
                             .accumulate = true};
    MultiplyByRows<Format>(tile_of_keys, a.value_dim);
    tile_of_keys.a = s.d_s + first * kGradientRow + begin;
    tile_of_keys.b = q.right.data + first * q.right.row;
    tile_of_keys.b_row = q.right.row;
    tile_of_keys.c = a.d_k + (j0 + begin) * a.d_k_row;
    tile_of_keys.c_row = a.d_k_row;
    MultiplyByRows<Format>(tile_of_keys, a.head_dim);
  }
}

template <class Format>
inline void AttentionBackwardKernel(const AttentionBackward& a) {
  const BackwardScratch<Format> s(a.scratch, a.queries, a.keys, a.head_dim, a.value_dim);
  for (int64_t j = 0; j < a.total_keys; ++j) {
    ZeroRow(a.d_k + j * a.d_k_row, a.head_dim);
    ZeroRow(a.d_v + j * a.d_v_row, a.value_dim);
  }
  for (int g = 0; g < a.groups; ++g) {
    const BackwardHead head = {a.q + g * a.q_head,
                               a.o + g * a.o_head,
                               a.d_o + g * a.d_o_head,
                               a.lse + g * a.lse_head,
                               a.d_q + g * a.d_q_head,
                               a.d_bias ? a.d_bias + g * a.d_bias_head : nullptr,
                               OfHead(a.scores, g, a.bias_head, a.slope_head)};
    for (int64_t i = 0; i < a.queries; ++i) {
      s.delta[i] = Delta<Format>(head.d_o + i * a.d_o_row, head.o + i * a.o_row, a.value_dim);
      ZeroRow(head.d_q + i * a.d_q_row, a.head_dim);
    }
    for (int64_t j = 0; j < a.keys; j += kGradientKeys) {
      const int64_t keys = AtMost(a.keys - j, kGradientKeys);
      // Of the queries, those that see some of these keys.
      int64_t from = 0, to = a.queries;
      while (from < to && SeenKeys(a, from).end <= j) ++from;
      while (from < to && SeenKeys(a, to - 1).begin >= j + keys) --to;
      if (from == to) continue;
      from = from / kGradientQueries * kGradientQueries;
      PackPanels<Format>(a.k + j * a.k_row, a.k_row, keys, a.head_dim, s.k_panels);
      PackPanels<Format>(a.v + j * a.v_row, a.v_row, keys, a.value_dim, s.v_panels);
      const Matrix k = RightSide<Format>(a.k + j * a.k_row, a.k_row, keys, a.head_dim, s.k);
      for (int64_t i = from; i < to; i += kGradientQueries) {
        BackwardBlock(a, s, head, k, j, keys, i, AtMost(a.queries - i, kGradientQueries));
      }
    }
  }
}
