// Fused attention: the pieces that forward and backward share, and the table of kernels.
// Included inside each instruction set's anonymous namespace, after gemm-inl.h and math-inl.h.
//
// Every product is made of tiles of the matrix product (GemmTile). Products with a transposed right side
// (q·kᵀ, dO·vᵀ) read it packed in panels of kGemmColumns rows, [rows / kGemmColumns][dim][kGemmColumns]; all
// others read their right side in place.

constexpr float kLog2E = 1.44269504f, kLn2 = 0.693147181f;

inline int64_t AtMost(int64_t n, int64_t limit) { return n < limit ? n : limit; }
inline int64_t RoundUp(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// Of the keys [j0, j0 + n), those that query i of an AttentionForward or AttentionBackward sees: a prefix.
template <class Problem>
inline int64_t SeenKeys(const Problem& a, int64_t i, int64_t j0, int64_t n) {
  const int64_t seen = (a.causal ? AtMost(i + a.causal_offset + 1, a.keys) : a.keys) - j0;
  return seen < 0 ? 0 : AtMost(seen, n);
}

// Cuts scratch into pieces that start on cache lines; without memory it only counts.
struct Scratch {
  float* base;
  int64_t used = 0;

  float* Take(int64_t n) {
    float* piece = base ? base + used : nullptr;
    used += RoundUp(n, 16);
    return piece;
  }
};

struct Matrix {
  const float* data;
  int64_t row;
};

// x such that a whole vector can be read at every column, as GemmTile wants its right side: x itself, or a
// copy with zeros behind each row.
inline Matrix WholeVectors(const float* x, int64_t row, int64_t rows, int dim, float* copy) {
  if (dim % Vec::kLanes == 0) return {x, row};
  const int64_t padded = RoundUp(dim, Vec::kLanes);
  for (int64_t i = 0; i < rows; ++i) {
    const float* from = x + i * row;
    float* to = copy + i * padded;
    int d = 0;
    for (; d + Vec::kLanes <= dim; d += Vec::kLanes) Store(to + d, Load(from + d));
    Store(to + d, LoadPartial(from + d, dim - d));
  }
  return {copy, padded};
}
inline int64_t WholeVectorsSize(int64_t rows, int dim) {
  return dim % Vec::kLanes ? rows * RoundUp(dim, Vec::kLanes) : 0;
}

inline int64_t PanelsSize(int64_t rows, int dim) { return RoundUp(rows, kGemmColumns) * dim; }
inline void PackPanels(const float* x, int64_t row, int64_t rows, int dim, float* panels) {
  for (int64_t j = 0; j < rows; j += kGemmColumns) {
    PackColumnsKernel(x + j * row, row, dim, static_cast<int>(AtMost(rows - j, kGemmColumns)),
                      panels + j * dim);
  }
}

// Splits `rows` into tiles of at most kGemmRows rows, as even as they come.
inline int64_t RowTiles(int64_t rows) { return (rows + kGemmRows - 1) / kGemmRows; }
inline int64_t TileStart(int64_t rows, int64_t tiles, int64_t tile) { return rows * tile / tiles; }

// A row of tiles, C[rows × columns]; t.columns is ignored. The right side is a matrix or panels.
inline void MultiplyByRows(GemmTile t, int64_t columns) {
  for (int64_t j = 0; j < columns; j += kGemmColumns, t.b += kGemmColumns, t.c += kGemmColumns) {
    t.columns = static_cast<int>(AtMost(columns - j, kGemmColumns));
    GemmTileKernel(t);
  }
}
inline void MultiplyByPanels(GemmTile t, int64_t columns) {
  t.b_row = kGemmColumns;
  t.columns = kGemmColumns;
  for (int64_t j = 0; j < columns; j += kGemmColumns, t.b += t.k * kGemmColumns, t.c += kGemmColumns)
    GemmTileKernel(t);
}

// True for the lanes below n; n may lie outside of [0, kLanes].
inline Mask FirstLanesMask(int64_t n) {
  static constexpr float kLane[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  static_assert(Vec::kLanes <= 16, "more lanes than are numbered");
  return Less(Load(kLane), Set1(static_cast<float>(n)));
}

// s[begin … end) = 0, and the rest of the last vector.
inline void ZeroVectors(float* s, int64_t begin, int64_t end) {
  for (int64_t j = begin; j < end; j += Vec::kLanes) Store(s + j, Zero());
}
// Exactly n elements.
inline void ZeroRow(float* x, int64_t n) {
  for (int64_t j = 0; j < n; j += Vec::kLanes) {
    StorePartial(x + j, Zero(), static_cast<int>(AtMost(n - j, Vec::kLanes)));
  }
}

inline float Dot(const float* x, const float* y, int n) {
  Vec sum = Zero();
  int d = 0;
  for (; d + Vec::kLanes <= n; d += Vec::kLanes) sum = Fma(Load(x + d), Load(y + d), sum);
  if (d < n) sum = Fma(LoadPartial(x + d, n - d), LoadPartial(y + d, n - d), sum);
  return ReduceAdd(sum);
}

#include "kernels/simd/attention_backward-inl.h"
#include "kernels/simd/attention_forward-inl.h"
#include "kernels/simd/rotary-inl.h"

constexpr AttentionKernels kAttentionKernels = {
    PanelsSize,  // packed_keys_size
    PackPanels,  // pack_keys
    ForwardScratchSize, AttentionForwardKernel, BackwardScratchSize, AttentionBackwardKernel, Rotate,
};
