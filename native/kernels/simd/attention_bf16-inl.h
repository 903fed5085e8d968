// Attention where the CPU multiplies pairs of bfloat16: a word holds two elements along k. Included after
// gemm_bf16-inl.h and attention-inl.h. Accuracy: operands to nearest even, denormals are 0, sums in f32.

template <template <bool> class Kernel>
struct PairFormat {
  static constexpr int kTerms = 2;
  static constexpr bool kRounds = true;
  static Vec Round(Vec x) { return RoundBf16(x); }
  static void Tile(const GemmTile& t) { PairTileKernel<Kernel>(t); }
  static void ConvertRow(const float* x, int64_t n, float* words) { ConvertRowKernel(x, n, words); }
  static void PackRows(const float* x, int64_t ld, int64_t k, int64_t columns, float* words,
                       int64_t out_row) {
    PackPairRowsKernel(x, ld, k, columns, words, out_row);
  }
  static void PackColumns(const float* x, int64_t ld, int64_t k, int columns, float* panel) {
    PackPairColumnsKernel(x, ld, k, columns, panel);
  }
  static void StoreWords(float* words, const Vec (&x)[2]) { Store(words, RoundToBf16(x[0], x[1])); }
};

// All that an instruction set with such a product adds.
template <template <bool> class Kernel, class Peak>
constexpr KernelExtension Bf16Extension(const char* name) {
  return {
      .name = name,
      .panels = {{}, kBf16PairKernels<Kernel>},
      .products = kBf16PairProducts<Kernel>,
      .attention = kAttentionProducts<PairFormat<Kernel>>,
      .bf16 = kComputePeak<Peak>,
  };
}
