// bf16 panels where the CPU multiplies pairs of bfloat16: rows of A are rounded to them, then a word of A
// meets a word of B. Accuracy: A to nearest even, sums in f32 in the order of k.

struct Bf16Pairs {
  static constexpr int kParts = 1, kRows = kGemmRows, kProducts = 2;
  static const float* At(const float* b, int column) { return b + column; }
  static Vec Part(Index<0>, const float* b, int j) { return Load(b + j * Vec::kLanes); }
  static Vec MultiplyAdd(Splat a, Vec b, Vec sum) { return DotBf16(a, b, sum); }
};

// x[0 … n − 1] to ⌈n / 2⌉ words.
void ConvertRowKernel(const float* x, int64_t n, float* row) {
  constexpr int kLanes = Vec::kLanes;
  for (; n >= 2 * kLanes; n -= 2 * kLanes, x += 2 * kLanes, row += kLanes)
    Store(row, RoundToBf16(Load(x), Load(x + kLanes)));
  if (n == 0) return;
  const int left = static_cast<int>(n), low = left < kLanes ? left : kLanes;
  StorePartial(row, RoundToBf16(LoadPartial(x, low), LoadPartial(x + low, left - low)), (left + 1) / 2);
}

// Bf16Products::pack_rows: rows k and k + 1 side by side.
void PackPairRowsKernel(const float* x, int64_t ld, int64_t k, int64_t columns, float* words,
                        int64_t out_row) {
  constexpr int kLanes = Vec::kLanes;
  for (; k > 0; k -= 2, x += 2 * ld, words += out_row) {
    const bool pair = k > 1;
    int64_t j = 0;
    if (pair) {
      for (; j + kLanes <= columns; j += kLanes) Store(words + j, JoinBf16(Load(x + j), Load(x + ld + j)));
    }
    for (; j < out_row; j += kLanes) {
      const int64_t left = columns - j;
      const int n = left <= 0 ? 0 : left < kLanes ? static_cast<int>(left) : kLanes;
      const Vec low = LoadPartial(x + j, n), high = pair ? LoadPartial(x + ld + j, n) : Zero();
      StorePartial(words + j, JoinBf16(low, high),
                   out_row - j < kLanes ? static_cast<int>(out_row - j) : kLanes);
    }
  }
}

// Bf16Products::pack_columns: pairs lie side by side already, so words are transposed.
void PackPairColumnsKernel(const float* x, int64_t ld, int64_t k, int columns, float* panel) {
  constexpr int kLanes = Vec::kLanes;
  alignas(64) float rows[kLanes * kLanes], turned[kLanes * kLanes];
  for (int64_t i = 0; i < k; i += 2 * kLanes) {
    const int terms = k - i < 2 * kLanes ? static_cast<int>(k - i) : 2 * kLanes;
    const int low = terms < kLanes ? terms : kLanes;
    for (int j = 0; j < kGemmColumns; j += kLanes) {
      for (int r = 0; r < kLanes; ++r) {
        const float* p = x + (j + r) * ld + i;
        Vec word = Zero();
        if (j + r < columns) {
          word = terms == 2 * kLanes ? RoundToBf16(Load(p), Load(p + kLanes))
                                     : RoundToBf16(LoadPartial(p, low), LoadPartial(p + low, terms - low));
        }
        Store(rows + r * kLanes, word);
      }
      float* out = panel + i / 2 * kGemmColumns + j;
      if (terms == 2 * kLanes) {
        TransposeBlock(rows, kLanes, out, kGemmColumns);
      } else {
        TransposeBlock(rows, kLanes, turned, kLanes);
        for (int s = 0; 2 * s < terms; ++s) Store(out + s * kGemmColumns, Load(turned + s * kLanes));
      }
    }
  }
}

// Kernel<transposed>: micro-kernels of words of A and B, as WordsKernel.
template <template <bool> class Kernel>
void PairTileKernel(const GemmTile& tile) {
  tile.a_k == 1 ? NarrowTileKernel<Kernel<false>>(tile) : NarrowTileKernel<Kernel<true>>(tile);
}

template <template <bool> class Kernel>
constexpr Bf16Products kBf16PairProducts = {
    .elements = 2,
    .tile = PairTileKernel<Kernel>,
    .convert = ConvertRowKernel,
    .pack_rows = PackPairRowsKernel,
    .pack_columns = PackPairColumnsKernel,
};

template <template <bool> class Kernel>
constexpr PanelKernels kBf16PairKernels = {
    .mr = Kernel<false>::kMaxRows,
    .row_floats = 1,
    .panel_rows = kGemmPanelRows,
    .tile = PanelTileKernel<Kernel<false>, kGemmPanelRows>,
    .convert = ConvertRowKernel,
};

template <bool kTransposed>
using PairsKernel = WordsKernel<Bf16Pairs, kTransposed>;
