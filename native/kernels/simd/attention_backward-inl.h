// With s = scale · q·kᵀ, p = exp(s − lse), δ[i] = Σ_e dO[i, e] · o[i, e]:
//   dV[j, :] = Σ_i p[i, j] · dO[i, :]          dP[i, j] = Σ_e dO[i, e] · v[j, e]
//   dS[i, j] = scale · p[i, j] · (dP[i, j] − δ[i])
//   dQ[i, :] = Σ_j dS[i, j] · k[j, :]          dK[j, :] = Σ_i dS[i, j] · q[i, :]
// over the keys j that query i sees; dK and dV sum over the query heads that share the key-value head.
//
// Contract: AttentionBackward in kernel_table.h. k and v are never read at rows ≥ keys. Outputs may not
// overlap anything. Sums run in a fixed order: query heads, blocks of keys, blocks of queries. Accuracy:
// float throughout; exponentials to 1.8e-7 relative. Source: FlashAttention-2 (Dao 2023), algorithm 2.

constexpr int64_t kGradientQueries = 64;
constexpr int64_t kGradientKeys = 128 / kGemmColumns * kGemmColumns;
constexpr int64_t kGradientRow = kGradientKeys + 16;  // see kScoreRow

struct BackwardScratch {
  float *delta, *p, *ds, *k_panels, *v_panels, *k, *q, *d_o;
  int64_t size;

  BackwardScratch(float* base, int64_t queries, int64_t keys, int head_dim, int value_dim) {
    Scratch scratch{base};
    const int64_t key_block = AtMost(keys, kGradientKeys), query_block = AtMost(queries, kGradientQueries);
    delta = scratch.Take(queries);
    p = scratch.Take(query_block * kGradientRow);
    ds = scratch.Take(query_block * kGradientRow);
    k_panels = scratch.Take(PanelsSize(key_block, head_dim));
    v_panels = scratch.Take(PanelsSize(key_block, value_dim));
    k = scratch.Take(WholeVectorsSize(key_block, head_dim));
    q = scratch.Take(WholeVectorsSize(query_block, head_dim));
    d_o = scratch.Take(WholeVectorsSize(query_block, value_dim));
    size = scratch.used;
  }
};

inline int64_t BackwardScratchSize(int64_t queries, int64_t keys, int head_dim, int value_dim) {
  return BackwardScratch(nullptr, queries, keys, head_dim, value_dim).size;
}

// Scores become probabilities and dP becomes dS over the n keys that a query sees; zero in [n, end).
inline void GradientRow(float* scores, float* gradient, int64_t n, int64_t end, float scale, float lse,
                        float delta) {
  const Vec to_log2 = Set1(scale * kLog2E), shift = Set1(-lse * kLog2E), mean = Set1(delta),
            factor = Set1(scale);
  const int64_t whole = n / Vec::kLanes * Vec::kLanes;
  for (int64_t j = 0; j < whole; j += Vec::kLanes) {
    const Vec p = Exp2(Fma(Load(scores + j), to_log2, shift));
    Store(scores + j, p);
    Store(gradient + j, p * (Load(gradient + j) - mean) * factor);
  }
  if (whole < n) {
    const Mask rest = FirstLanesMask(static_cast<int>(n - whole));
    const Vec p = Select(rest, Exp2(Fma(Load(scores + whole), to_log2, shift)), Zero());
    Store(scores + whole, p);
    Store(gradient + whole, Select(rest, p * (Load(gradient + whole) - mean) * factor, Zero()));
  }
  ZeroVectors(scores, RoundUp(n, Vec::kLanes), end);
  ZeroVectors(gradient, RoundUp(n, Vec::kLanes), end);
}

// One query head: pointers of AttentionBackward moved there.
struct BackwardHead {
  const float *q, *o, *d_o, *lse;
  float* d_q;
};

// The block of keys [j0, j0 + keys), whose panels are packed, against the queries [i0, i0 + queries).
inline void BackwardBlock(const AttentionBackward& a, const BackwardScratch& s, const BackwardHead& head,
                          Matrix k, int64_t j0, int64_t keys, int64_t i0, int64_t queries) {
  const float *q = head.q + i0 * a.q_row, *d_o = head.d_o + i0 * a.d_o_row;
  const auto seen_by = [&](int64_t i) {
    return AtMost(VisibleKeys(i0 + i, a.keys, a.causal, a.causal_offset) - j0, keys);
  };
  const int64_t block_seen = seen_by(queries - 1);
  if (block_seen <= 0) return;

  const int64_t row_tiles = RowTiles(queries);
  for (int64_t tile = 0; tile < row_tiles; ++tile) {
    const int64_t begin = TileStart(queries, row_tiles, tile), end = TileStart(queries, row_tiles, tile + 1);
    const int rows = static_cast<int>(end - begin);
    const int64_t seen = seen_by(end - 1);
    float *p = s.p + begin * kGradientRow, *ds = s.ds + begin * kGradientRow;
    if (seen > 0) {
      MultiplyByPanels({.a = q + begin * a.q_row,
                        .a_row = a.q_row,
                        .a_k = 1,
                        .b = s.k_panels,
                        .b_row = 0,
                        .c = p,
                        .c_row = kGradientRow,
                        .k = a.head_dim,
                        .rows = rows,
                        .columns = 0,
                        .accumulate = false},
                       seen);
      MultiplyByPanels({.a = d_o + begin * a.d_o_row,
                        .a_row = a.d_o_row,
                        .a_k = 1,
                        .b = s.v_panels,
                        .b_row = 0,
                        .c = ds,
                        .c_row = kGradientRow,
                        .k = a.value_dim,
                        .rows = rows,
                        .columns = 0,
                        .accumulate = false},
                       seen);
    }
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row_seen = seen_by(i);
      GradientRow(s.p + i * kGradientRow, s.ds + i * kGradientRow, row_seen > 0 ? row_seen : 0, block_seen,
                  a.scale, head.lse[i0 + i], s.delta[i0 + i]);
    }
    if (seen > 0) {
      MultiplyByRows({.a = ds,
                      .a_row = kGradientRow,
                      .a_k = 1,
                      .b = k.data,
                      .b_row = k.row,
                      .c = head.d_q + (i0 + begin) * a.d_q_row,
                      .c_row = a.d_q_row,
                      .k = seen,
                      .rows = rows,
                      .columns = 0,
                      .accumulate = true},
                     a.head_dim);
    }
  }

  const Matrix q_rows = WholeVectors(q, a.q_row, queries, a.head_dim, s.q);
  const Matrix d_o_rows = WholeVectors(d_o, a.d_o_row, queries, a.value_dim, s.d_o);
  const int64_t key_tiles = RowTiles(block_seen);
  for (int64_t tile = 0, from = 0; tile < key_tiles; ++tile) {
    const int64_t begin = TileStart(block_seen, key_tiles, tile),
                  end = TileStart(block_seen, key_tiles, tile + 1);
    while (seen_by(from) <= begin) ++from;  // queries before `from` see nothing of this tile
    const int rows = static_cast<int>(end - begin);
    const int64_t at = from * kGradientRow + begin;
    MultiplyByRows({.a = s.p + at,
                    .a_row = 1,
                    .a_k = kGradientRow,
                    .b = d_o_rows.data + from * d_o_rows.row,
                    .b_row = d_o_rows.row,
                    .c = a.d_v + (j0 + begin) * a.d_v_row,
                    .c_row = a.d_v_row,
                    .k = queries - from,
                    .rows = rows,
                    .columns = 0,
                    .accumulate = true},
                   a.value_dim);
    MultiplyByRows({.a = s.ds + at,
                    .a_row = 1,
                    .a_k = kGradientRow,
                    .b = q_rows.data + from * q_rows.row,
                    .b_row = q_rows.row,
                    .c = a.d_k + (j0 + begin) * a.d_k_row,
                    .c_row = a.d_k_row,
                    .k = queries - from,
                    .rows = rows,
                    .columns = 0,
                    .accumulate = true},
                   a.head_dim);
  }
}

inline void AttentionBackwardKernel(const AttentionBackward& a) {
  const BackwardScratch s(a.scratch, a.queries, a.keys, a.head_dim, a.value_dim);
  for (int64_t j = 0; j < a.total_keys; ++j) {
    ZeroRow(a.d_k + j * a.d_k_row, a.head_dim);
    ZeroRow(a.d_v + j * a.d_v_row, a.value_dim);
  }
  for (int g = 0; g < a.groups; ++g) {
    const BackwardHead head = {a.q + g * a.q_head, a.o + g * a.o_head, a.d_o + g * a.d_o_head,
                               a.lse + g * a.lse_head, a.d_q + g * a.d_q_head};
    for (int64_t i = 0; i < a.queries; ++i) {
      s.delta[i] = Dot(head.d_o + i * a.d_o_row, head.o + i * a.o_row, a.value_dim);
      ZeroRow(head.d_q + i * a.d_q_row, a.head_dim);
    }
    for (int64_t j = 0; j < a.keys; j += kGradientKeys) {
      const int64_t keys = AtMost(a.keys - j, kGradientKeys);
      PackPanels(a.k + j * a.k_row, a.k_row, keys, a.head_dim, s.k_panels);
      PackPanels(a.v + j * a.v_row, a.v_row, keys, a.value_dim, s.v_panels);
      const Matrix k = WholeVectors(a.k + j * a.k_row, a.k_row, keys, a.head_dim, s.k);
      for (int64_t i = 0; i < a.queries; i += kGradientQueries) {
        BackwardBlock(a, s, head, k, j, keys, i, AtMost(a.queries - i, kGradientQueries));
      }
    }
  }
}
