// Matrix-vector products: y[i, j] = Σ_k w[j, k] · x[i, k], i < m, j < n, for a few vectors x.
//
// Bound by reading w, once for every kGemvVectors rows of x; no packing. A sum is taken over two vector
// accumulators (k in steps of kLanes, by turns), which are added and reduced by a fixed tree, so it depends
// on k alone.

constexpr int kGemvVectors = 3;
// Rows of w at a time, such that the accumulators, two for each pair, fit the registers beside the operands.
constexpr int GemvRowsAtOnce(int vectors) { return vectors == 1 || kGemmRows * kGemmVectors >= 24 ? 4 : 2; }

template <int kRows, int kVectors>
inline void GemvBlock(const float* w, int64_t ld, const float* x, int64_t x_row, float* y, int64_t y_row,
                      int64_t k) {
  constexpr int kLanes = Vec::kLanes;
  Vec sums[2][kRows][kVectors];
  Unroll<kRows>([&](auto j) { Unroll<kVectors>([&](auto i) { sums[0][j][i] = sums[1][j][i] = Zero(); }); });
  int64_t l = 0;
  for (; l + 2 * kLanes <= k; l += 2 * kLanes) {
    Unroll<2>([&](auto turn) {
      Vec xl[kVectors];
      Unroll<kVectors>([&](auto i) { xl[i] = Load(x + i * x_row + l + turn * kLanes); });
      Unroll<kRows>([&](auto j) {
        const Vec wl = Load(w + j * ld + l + turn * kLanes);
        Unroll<kVectors>([&](auto i) { sums[turn][j][i] = Fma(wl, xl[i], sums[turn][j][i]); });
      });
    });
  }
  for (; l < k; l += kLanes) {
    const int left = k - l < kLanes ? static_cast<int>(k - l) : kLanes;
    Unroll<kRows>([&](auto j) {
      const Vec wl = LoadPartial(w + j * ld + l, left);
      Unroll<kVectors>(
          [&](auto i) { sums[0][j][i] = Fma(wl, LoadPartial(x + i * x_row + l, left), sums[0][j][i]); });
    });
  }
  Unroll<kRows>([&](auto j) {
    Unroll<kVectors>([&](auto i) { y[i * y_row + j] = ReduceAdd(sums[0][j][i] + sums[1][j][i]); });
  });
}

template <int kVectors>
inline void GemvRows(const float* w, int64_t ld, const float* x, int64_t x_row, float* y, int64_t y_row,
                     int64_t n, int64_t k) {
  constexpr int kRows = GemvRowsAtOnce(kVectors);
  for (; n >= kRows; n -= kRows, w += kRows * ld, y += kRows) {
    GemvBlock<kRows, kVectors>(w, ld, x, x_row, y, y_row, k);
  }
  for (; n > 0; --n, w += ld, ++y) GemvBlock<1, kVectors>(w, ld, x, x_row, y, y_row, k);
}

void GemvKernel(const float* w, int64_t ld, const float* x, int64_t x_row, float* y, int64_t y_row, int64_t m,
                int64_t n, int64_t k) {
  for (; m >= kGemvVectors; m -= kGemvVectors, x += kGemvVectors * x_row, y += kGemvVectors * y_row) {
    GemvRows<kGemvVectors>(w, ld, x, x_row, y, y_row, n, k);
  }
  if (m == 2) GemvRows<2>(w, ld, x, x_row, y, y_row, n, k);
  if (m == 1) GemvRows<1>(w, ld, x, x_row, y, y_row, n, k);
}
