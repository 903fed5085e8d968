// Fused attention: the pieces that forward and backward share. Included inside each instruction set's
// anonymous namespace, after lanes-inl.h and the gemm family.
//
// Every product is made of tiles of the matrix product (GemmTile). Products with a transposed right side
// (q·kᵀ, dO·vᵀ) read it packed in panels of kGemmColumns rows, [rows / kGemmColumns][dim][kGemmColumns].
//
// A parameter Format says in which words of 32 bits operands are multiplied:
//   kTerms                                       elements along k in a word
//   kRounds                                      false: a word is the element, operands can be read in place
//   Round(x)                                     what a word holds of x
//   Tile(GemmTile)                               of words
//   ConvertRow(x, n, words)                      n elements along k to words; words may be x
//   PackRows(x, ld, k, columns, words, out_row)  as Bf16Products::pack_rows; words may be x if out_row is ld
//
//   PackColumns(x, ld, k, columns, panel)        as Bf16Products::pack_columns
//
//   StoreWords(words, x[kTerms])                 vectors that lie side by side along k

constexpr float kLog2E = 1.44269504f, kLn2 = 0.693147181f;

inline int64_t AtMost(int64_t n, int64_t limit) { return n < limit ? n : limit; }
inline int64_t RoundUp(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

inline int64_t Clamp(int64_t x, int64_t low, int64_t high) { return x < low ? low : AtMost(x, high); }

// Keys from begin to before end.
struct Span {
  int64_t begin, end;

  bool Empty() const { return begin >= end; }
  // Its part in the block of n keys from j0 on, counted from there.
  Span Within(int64_t j0, int64_t n) const { return {Clamp(begin - j0, 0, n), Clamp(end - j0, 0, n)}; }
};

// Those that row i of an AttentionForward or AttentionBackward sees. Neither end falls while i rises.
template <class Problem>
inline Span SeenKeys(const Problem& a, int64_t i) {
  const int64_t p = a.scores.position + i * a.scores.position_step;
  return {Clamp(p - a.scores.left, 0, a.keys), Clamp(p + a.scores.right + 1, 0, a.keys)};
}

// Keys that are taken together: whole vectors of words.
template <class Format>
constexpr int64_t kKeysTogether = Vec::kLanes* Format::kTerms;

// What the rows [first, last] see of a block of keys: `any` begins with a whole panel and holds all
// keys that some row sees; `all`, multiples of `together`, is what every row sees. Every row of a tile takes
// the same branches by them.
struct TileKeys {
  Span any, all;

  template <class Problem>
  TileKeys(const Problem& a, int64_t first, int64_t last, int64_t j0, int64_t n, int64_t together) {
    const Span from = SeenKeys(a, first).Within(j0, n), to = SeenKeys(a, last).Within(j0, n);
    any = {from.begin, to.end};
    if (any.Empty()) {
      any = all = {0, 0};
      return;
    }
    any.begin = from.begin / kGemmColumns * kGemmColumns;
    all = {RoundUp(to.begin, together), from.end / together * together};
    if (all.Empty()) all = {any.begin, any.begin};
  }
};

#include "kernels/simd/attention_scores-inl.h"

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
    ForLanes(dim, [&](int64_t d, auto lanes) { Store(copy + i * padded + d, lanes.Read(x + i * row + d)); });
  }
  return {copy, padded};
}
inline int64_t WholeVectorsSize(int64_t rows, int dim) {
  return dim % Vec::kLanes ? rows * RoundUp(dim, Vec::kLanes) : 0;
}

// Words of n elements along k.
template <class Format>
inline int64_t WordCount(int64_t n) {
  return (n + Format::kTerms - 1) / Format::kTerms;
}

template <class Format>
inline int64_t PanelsSize(int64_t rows, int dim) {
  return RoundUp(rows, kGemmColumns) * WordCount<Format>(dim);
}
template <class Format>
inline void PackPanels(const float* x, int64_t row, int64_t rows, int dim, float* panels) {
  for (int64_t j = 0; j < rows; j += kGemmColumns) {
    Format::PackColumns(x + j * row, row, dim, static_cast<int>(AtMost(rows - j, kGemmColumns)),
                        panels + j * WordCount<Format>(dim));
  }
}

// x as a right side whose k are rows: in place or in `copy`, words of several rows where a format has such.
template <class Format>
inline int64_t RightSideSize(int64_t rows, int dim) {
  if constexpr (Format::kRounds) return WordCount<Format>(rows) * RoundUp(dim, Vec::kLanes);
  return WholeVectorsSize(rows, dim);
}
template <class Format>
inline Matrix RightSide(const float* x, int64_t row, int64_t rows, int dim, float* copy) {
  if constexpr (Format::kRounds) {
    Format::PackRows(x, row, rows, dim, copy, RoundUp(dim, Vec::kLanes));
    return {copy, RoundUp(dim, Vec::kLanes)};
  }
  return WholeVectors(x, row, rows, dim, copy);
}

// x as that, and as a left side whose k are columns.
struct BothSides {
  Matrix left, right;
};
template <class Format>
inline int64_t BothSidesSize(int64_t rows, int dim) {
  return RightSideSize<Format>(rows, dim) + (Format::kTerms > 1 ? rows * WordCount<Format>(dim) : 0);
}
template <class Format>
inline BothSides MakeBothSides(const float* x, int64_t row, int64_t rows, int dim, float* copy) {
  const Matrix right = RightSide<Format>(x, row, rows, dim, copy);
  if constexpr (Format::kTerms == 1) return {right, right};
  float* const words = copy + RightSideSize<Format>(rows, dim);
  const int64_t words_row = WordCount<Format>(dim);
  for (int64_t i = 0; i < rows; ++i) Format::ConvertRow(x + i * row, dim, words + i * words_row);
  return {{words, words_row}, right};
}

// Splits `rows` into tiles of at most kGemmRows rows, as even as they come.
inline int64_t RowTiles(int64_t rows) { return (rows + kGemmRows - 1) / kGemmRows; }
inline int64_t TileStart(int64_t rows, int64_t tiles, int64_t tile) { return rows * tile / tiles; }

// A row of tiles, C[rows × columns]; t.columns is ignored. By rows of a matrix, or by panels: then whole
// vectors of C are written.
template <class Format>
inline void MultiplyByRows(GemmTile t, int64_t columns) {
  for (int64_t j = 0; j < columns; j += kGemmColumns, t.b += kGemmColumns, t.c += kGemmColumns) {
    t.columns = static_cast<int>(AtMost(columns - j, kGemmColumns));
    Format::Tile(t);
  }
}
template <class Format>
inline void MultiplyByPanels(GemmTile t, int64_t columns) {
  t.b_row = kGemmColumns;
  for (int64_t j = 0; j < columns; j += kGemmColumns, t.b += t.k * kGemmColumns, t.c += kGemmColumns) {
    t.columns = static_cast<int>(AtMost(RoundUp(columns - j, Vec::kLanes), kGemmColumns));
    Format::Tile(t);
  }
}

// True for the lanes below n; n may lie outside of [0, kLanes].
inline Mask FirstLanesMask(int64_t n) { return Less(Load(kLaneNumbers), Set1(static_cast<float>(n))); }
// x in the lanes of the vector at j that lie in `span`, `otherwise` in the rest.
inline Vec KeepSpan(Span span, int64_t j, Vec x, Vec otherwise) {
  return Select(FirstLanesMask(span.end - j), Select(FirstLanesMask(span.begin - j), otherwise, x),
                otherwise);
}

// x = 0 over n elements.
inline void ZeroRow(float* x, int64_t n) {
  ForLanes(n, [&](int64_t i, auto lanes) { lanes.Write(x + i, Zero()); });
}

// y = x over n elements.
inline void CopyRow(const float* x, float* y, int64_t n) {
  ForLanes(n, [&](int64_t i, auto lanes) { lanes.Write(y + i, lanes.Read(x + i)); });
}

// Σ_d x[d] · y[d].
inline float Dot(const float* x, const float* y, int64_t n) {
  Vec sum = Zero();
  ForLanes(n, [&](int64_t i, auto lanes) { sum = Fma(lanes.Read(x + i), lanes.Read(y + i), sum); });
  return ReduceAdd(sum);
}

#include "kernels/simd/attention_backward-inl.h"
#include "kernels/simd/attention_forward-inl.h"

template <class Format>
constexpr AttentionProducts kAttentionProducts = {
    .packed_size = PackedSize<Format>,
    .pack = PackKeys<Format>,
    .forward_scratch = ForwardScratchSize<Format>,
    .forward = AttentionForwardKernel<Format>,
    .backward_scratch = BackwardScratchSize<Format>,
    .backward = AttentionBackwardKernel<Format>,
};
