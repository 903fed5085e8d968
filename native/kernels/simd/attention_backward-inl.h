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
  float *delta, *p, *d_s, *k_panels, *v_panels, *k, *q, *d_o;
  int64_t size;

  BackwardScratch(float* base, int64_t queries, int64_t keys, int head_dim, int value_dim) {
    Scratch scratch{base};
    const int64_t key_block = AtMost(keys, kGradientKeys), query_block = AtMost(queries, kGradientQueries);
    delta = scratch.Take(queries);
    p = scratch.Take(query_block * kGradientRow);
    d_s = scratch.Take(query_block * kGradientRow);
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
// whole and end are as in OnlineSoftmax.
inline void GradientRow(float* scores, float* gradient, int64_t whole, int64_t n, int64_t end, float scale,
                        float lse, float delta) {
  const Vec to_log2 = Set1(scale * kLog2E), shift = Set1(-lse * kLog2E), mean = Set1(delta),
            factor = Set1(scale);
  for (int64_t j = 0; j < whole; j += Vec::kLanes) {
    const Vec p = Exp2(Fma(Load(scores + j), to_log2, shift));
    Store(scores + j, p);
    Store(gradient + j, p * (Load(gradient + j) - mean) * factor);
  }
  for (int64_t j = whole; j < end; j += Vec::kLanes) {
    const Mask seen = FirstLanesMask(n - j);
    const Vec p = Exp2(Fma(Load(scores + j), to_log2, shift));
    Store(scores + j, Select(seen, p, Zero()));
    Store(gradient + j, Select(seen, p * (Load(gradient + j) - mean) * factor, Zero()));
  }
}

// One query head: pointers of AttentionBackward moved there.
struct BackwardHead {
  const float *q, *o, *d_o, *lse;
  float* d_q;
};

// The block of keys [j0, j0 + keys), packed in scratch, against the queries [i0, i0 + queries).
inline void BackwardBlock(const AttentionBackward& a, const BackwardScratch& s, const BackwardHead& head,
                          Matrix k, int64_t j0, int64_t keys, int64_t i0, int64_t queries) {
  const int64_t block_seen = SeenKeys(a, i0 + queries - 1, j0, keys);
  if (block_seen == 0) return;
  const Matrix q = WholeVectors(head.q + i0 * a.q_row, a.q_row, queries, a.head_dim, s.q);
  const Matrix d_o = WholeVectors(head.d_o + i0 * a.d_o_row, a.d_o_row, queries, a.value_dim, s.d_o);

  const int64_t row_tiles = RowTiles(queries);
  for (int64_t tile = 0; tile < row_tiles; ++tile) {
    const int64_t begin = TileStart(queries, row_tiles, tile), end = TileStart(queries, row_tiles, tile + 1);
    const int rows = static_cast<int>(end - begin);
    float *p = s.p + begin * kGradientRow, *d_s = s.d_s + begin * kGradientRow;
    const int64_t seen = SeenKeys(a, i0 + end - 1, j0, keys), seen_by_all = SeenKeys(a, i0 + begin, j0, keys);
    if (seen > 0) {
      MultiplyByPanels({.a = q.data + begin * q.row,
                        .a_row = q.row,
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
      MultiplyByPanels({.a = d_o.data + begin * d_o.row,
                        .a_row = d_o.row,
                        .a_k = 1,
                        .b = s.v_panels,
                        .b_row = 0,
                        .c = d_s,
                        .c_row = kGradientRow,
                        .k = a.value_dim,
                        .rows = rows,
                        .columns = 0,
                        .accumulate = false},
                       seen);
    }
    for (int i = 0; i < rows; ++i) {
      const int64_t row = i0 + begin + i;
      GradientRow(p + i * kGradientRow, d_s + i * kGradientRow, seen_by_all / Vec::kLanes * Vec::kLanes,
                  SeenKeys(a, row, j0, keys), seen, a.scale, head.lse[row], s.delta[row]);
      const int64_t rest = RoundUp(seen, Vec::kLanes);  // of what other tiles see
      ZeroRow(p + i * kGradientRow + rest, block_seen - rest);
      ZeroRow(d_s + i * kGradientRow + rest, block_seen - rest);
    }
    if (seen > 0) {
      MultiplyByRows({.a = d_s,
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

  const int64_t key_tiles = RowTiles(block_seen);
  for (int64_t tile = 0, from = 0; tile < key_tiles; ++tile) {
    const int64_t begin = TileStart(block_seen, key_tiles, tile),
                  end = TileStart(block_seen, key_tiles, tile + 1);
    while (SeenKeys(a, i0 + from, j0, keys) <= begin)
      ++from;  // queries before `from` see nothing of this tile
    GemmTile tile_of_keys = {.a = s.p + from * kGradientRow + begin,
                             .a_row = 1,
                             .a_k = kGradientRow,
                             .b = d_o.data + from * d_o.row,
                             .b_row = d_o.row,
                             .c = a.d_v + (j0 + begin) * a.d_v_row,
                             .c_row = a.d_v_row,
                             .k = queries - from,
                             .rows = static_cast<int>(end - begin),
                             .columns = 0,
                             .accumulate = true};
    MultiplyByRows(tile_of_keys, a.value_dim);
    tile_of_keys.a = s.d_s + from * kGradientRow + begin;
    tile_of_keys.b = q.data + from * q.row;
    tile_of_keys.b_row = q.row;
    tile_of_keys.c = a.d_k + (j0 + begin) * a.d_k_row;
    tile_of_keys.c_row = a.d_k_row;
    MultiplyByRows(tile_of_keys, a.head_dim);
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
