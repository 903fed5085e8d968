// bf16 panels where the CPU multiplies pairs of bfloat16: rows of A are rounded to them, then a word of A
// meets a word of B. Accuracy: A to nearest even, sums in f32 in the order of k.

struct Bf16Pairs {
  static constexpr int kParts = 1, kRows = kGemmRows, kProducts = 2;
  static const float* At(const float* b, int column) { return b + column; }
  static Vec Part(Index<0>, const float* b, int j) { return Load(b + j * Vec::kLanes); }
  static Vec MultiplyAdd(Vec a, Vec b, Vec sum) { return DotBf16(a, b, sum); }
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

constexpr PanelKernels kBf16PairKernels = {
    .mr = Bf16Pairs::kRows,
    .row_floats = 1,
    .panel_rows = kGemmPanelRows,
    .tile = PanelTileKernel<WordsKernel<Bf16Pairs>, kGemmPanelRows>,
    .convert = ConvertRowKernel,
};
