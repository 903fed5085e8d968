// Products of pairs of bfloat16 by products of matrices (gemm_matrix-inl.h).

struct Bf16Matrices {
  static constexpr int kProducts = 4;
  static Vec MultiplyAdd(Vec columns, Vec rows, Vec sum) { return MatrixBf16(columns, rows, sum); }
};

// Of a single row, and of tiles as wide as a panel, matrices would be half empty or take too many steps.
template <bool kTransposed>
struct MatrixPairsKernel : PairsKernel<kTransposed> {
  template <int kRows, int kVectors>
  static constexpr auto Choose() {
    if constexpr (kRows > 1 && kVectors <= kGemmVectors)
      return &MatrixMicroKernel<Bf16Matrices, kRows, kVectors, kTransposed>;
    else
      return &GemmMicroKernel<Bf16Pairs, kRows, kVectors, kTransposed>;
  }
  template <int kRows, int kVectors>
  static constexpr auto kRun = Choose<kRows, kVectors>();
};
