// Matrix-vector product: y[j] = Σ_k w[j·ld + k] · x[k], j < n.
//
// Bound by reading w once. A row's sum is taken over two vector accumulators (k modulo 2·kLanes), which are
// added, then reduced by a fixed tree, so it depends neither on n nor on the row's place.

template <int kRows>
inline void GemvRows(const float* w, int64_t ld, const float* x, float* y, int64_t k) {
  constexpr int kLanes = Vec::kLanes;
  Vec even[kRows], odd[kRows];
  Unroll<kRows>([&](auto j) { even[j] = odd[j] = Zero(); });
  int64_t i = 0;
  for (; i + 2 * kLanes <= k; i += 2 * kLanes) {
    const Vec x0 = Load(x + i), x1 = Load(x + i + kLanes);
    Unroll<kRows>([&](auto j) {
      even[j] = Fma(Load(w + j * ld + i), x0, even[j]);
      odd[j] = Fma(Load(w + j * ld + i + kLanes), x1, odd[j]);
    });
  }
  for (; i < k; i += kLanes) {
    const int left = k - i < kLanes ? static_cast<int>(k - i) : kLanes;
    const Vec x0 = LoadPartial(x + i, left);
    Unroll<kRows>([&](auto j) { even[j] = Fma(LoadPartial(w + j * ld + i, left), x0, even[j]); });
  }
  Unroll<kRows>([&](auto j) { y[j] = ReduceAdd(even[j] + odd[j]); });
}

void GemvKernel(const float* w, int64_t ld, const float* x, float* y, int64_t n, int64_t k) {
  for (; n >= 4; n -= 4, w += 4 * ld, y += 4) GemvRows<4>(w, ld, x, y, k);
  for (; n > 0; --n, w += ld, ++y) GemvRows<1>(w, ld, x, y, k);
}

constexpr GemmKernels kGemmKernels = {
    .mr = kGemmRows,
    .nr = kGemmColumns,
    .kc = kGemmDepth,
    .tile = GemmTileKernel,
    .epilogue = GemmEpilogueKernel,
    .pack_rows = PackRowsKernel,
    .pack_columns = PackColumnsKernel,
    .gemv = GemvKernel,
    .transpose = TransposeKernel,
};
