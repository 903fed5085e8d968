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

// The same by a row-major matrix: y[i, j] = Σ_k x[i, k] · w[k, j], in the order of k, each kStreams terms
// first.
//
// Bound by reading w as well. A few rows of w at a time are streams that the hardware sees through, across
// pages too; columns of w, a tile wide, are not: 21 instead of 42 GB/s. What is summed up so far waits in y,
// in the first-level cache.

constexpr int kStreams = 4;  // 1: 41–89 % of the memory, 2: 60–80, 4: 88–100, 8: 80–103
// Rows of x at a time, whose numbers for all streams stay in registers.
constexpr int kRowsOfStreams = kGemmRows * kGemmVectors >= 24 ? 4 : 2;
// Up to so many rows that is faster than tiles (cold weights: 1 to 4 rows 98, 80, 70, 64 % of the memory;
// tiles 49 %).
constexpr int kGemvRowMajorRows = 4;

template <int kTerms, int kRows>
inline void AddTerms(const float* w, int64_t ld, const float* x, int64_t x_row, float* y, int64_t y_row,
                     int64_t n) {
  // Four vectors of one row: AVX2 79–92 → 84–96 %.
  constexpr int kVectors = kRows < 4 ? 4 / kRows : 1;
  Vec terms[kRows][kTerms];
  Unroll<kRows>([&](auto i) { Unroll<kTerms>([&](auto l) { terms[i][l] = Broadcast(x + i * x_row + l); }); });
  const auto add = [&](int64_t at, auto lanes, auto count) __attribute__((always_inline)) {
    constexpr int kCount = decltype(count)::value;
    const auto column = [&](auto v) { return at + v * Vec::kLanes; };
    Vec wj[kTerms][kCount];
    Unroll<kTerms>(
        [&](auto l) { Unroll<kCount>([&](auto v) { wj[l][v] = lanes.Read(w + l * ld + column(v)); }); });
    Unroll<kRows>([&](auto i) {
      Unroll<kCount>([&](auto v) {
        float* to = y + i * y_row + column(v);
        Vec sum = terms[i][0] * wj[0][v];
        Unroll<kTerms - 1>([&](auto l) { sum = Fma(terms[i][l + 1], wj[l + 1][v], sum); });
        lanes.Write(to, lanes.Read(to) + sum);
      });
    });
  };
  constexpr int kStep = kVectors * Vec::kLanes;
  int64_t j = 0;
  for (; j + kStep <= n; j += kStep) add(j, Whole{}, Index<kVectors>{});
  w += j;
  y += j;
  ForLanes(n - j, [&](int64_t left, auto lanes) { add(left, lanes, Index<1>{}); });
}

template <int kTerms>
inline void AddTermsOfRows(const float* w, int64_t ld, const float* x, int64_t x_row, float* y, int64_t y_row,
                           int64_t m, int64_t n) {
  constexpr int kRows = kRowsOfStreams;
  for (; m >= kRows; m -= kRows, x += kRows * x_row, y += kRows * y_row)
    AddTerms<kTerms, kRows>(w, ld, x, x_row, y, y_row, n);
  if constexpr (kRows > 2) {
    if (m == 3) AddTerms<kTerms, 3>(w, ld, x, x_row, y, y_row, n);
    if (m == 2) AddTerms<kTerms, 2>(w, ld, x, x_row, y, y_row, n);
  }
  if (m == 1) AddTerms<kTerms, 1>(w, ld, x, x_row, y, y_row, n);
}

void GemvRowMajorKernel(const float* w, int64_t ld, const float* x, int64_t x_row, float* y, int64_t y_row,
                        int64_t m, int64_t n, int64_t k) {
  for (int64_t i = 0; i < m; ++i) {
    float* row = y + i * y_row;
    ForLanes(n, [=](int64_t j, auto lanes) { lanes.Write(row + j, Zero()); });
  }
  for (; k >= kStreams; k -= kStreams, w += kStreams * ld, x += kStreams)
    AddTermsOfRows<kStreams>(w, ld, x, x_row, y, y_row, m, n);
  for (; k > 0; --k, w += ld, ++x) AddTermsOfRows<1>(w, ld, x, x_row, y, y_row, m, n);
}
