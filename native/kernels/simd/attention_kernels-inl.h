// The kernels of attention as a table: products in f32, and of operands rounded to bfloat16 by f32 products,
// which are exact, for CPUs that do not multiply pairs of them.

struct F32Format {
  static constexpr int kTerms = 1;
  static constexpr bool kRounds = false;
  static Vec Round(Vec x) { return x; }
  static void Tile(const GemmTile& t) { GemmTileKernel(t); }
  static void ConvertRow(const float* x, int64_t n, float* words) { CopyRow(x, words, n); }
  static void PackColumns(const float* x, int64_t ld, int64_t k, int columns, float* panel) {
    PackColumnsKernel(x, ld, k, columns, panel);
  }
  static void StoreWords(float* words, const Vec (&x)[1]) { Store(words, x[0]); }
};

struct RoundedFormat {
  static constexpr int kTerms = 1;
  static constexpr bool kRounds = true;
  static Vec Round(Vec x) { return RoundBf16(x); }
  static void Tile(const GemmTile& t) { GemmTileKernel(t); }
  static void ConvertRow(const float* x, int64_t n, float* words) { RoundRowKernel(x, n, words); }
  static void PackRows(const float* x, int64_t ld, int64_t k, int64_t columns, float* words,
                       int64_t out_row) {
    PackRoundedRowsKernel(x, ld, k, columns, words, out_row);
  }
  static void PackColumns(const float* x, int64_t ld, int64_t k, int columns, float* panel) {
    PackRoundedColumnsKernel(x, ld, k, columns, panel);
  }
  static void StoreWords(float* words, const Vec (&x)[1]) { Store(words, RoundBf16(x[0])); }
};

constexpr AttentionKernels kAttentionKernels = {
    .f32 = kAttentionProducts<F32Format>,
    .bf16 = kAttentionProducts<RoundedFormat>,
    .rotary_angles = RotaryAngles,
    .rotate = Rotate,
};
