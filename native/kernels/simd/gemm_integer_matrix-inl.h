// The micro-kernels of gemm_integer-inl.h by products of matrices (gemm_matrix-inl.h): the same operands and
// the same results.

struct ByteMatrices {
  static constexpr int kProducts = 8;
  static Vec MultiplyAdd(Vec columns, Vec rows, Vec sum) { return MatrixBytes(columns, rows, sum); }
};

template <class Blocks, int kRows, int kVectors>
HEEDFUL_MICRO_KERNEL void IntegerMatrixMicroKernel(const GemmTile& tile) {
  constexpr bool kWhole = Blocks::kWords == 0;
  constexpr int kScaleWords = kWhole ? 0 : kPanelColumns / 2, kPairs = kRowPairs<kRows>;
  const int64_t words = kWhole ? tile.k : Blocks::kWords, terms = words * Blocks::kNibbles;
  const int64_t a_row = tile.a_row;
  const float* a[kPairs];
  Unroll<kPairs>([&](auto p) { a[p] = Opaque(tile.a + FirstRow<kRows>(p) * a_row); });
  const float* b = tile.b;
  if (tile.next) PrefetchTile<kVectors>(tile, kRows);
  Ahead ahead(tile, (kWhole ? 1 : tile.k) * words, b);
  // What is there once for each row of a pair, as sums lie.
  const auto each_row = [&](auto p, int64_t at) {
    const Vec v = LoadSingles(a[p] + at, a[p] + a_row + at);
    return EvenLanes(v, v);
  };

  MatrixSums<kRows, kVectors> sums;
  if constexpr (!kWhole)
    Unroll<kPairs>([&](auto p) { Unroll<2 * kVectors>([&](auto c) { sums[p][c] = Zero(); }); });
  for (int64_t block = kWhole ? 1 : tile.k; block > 0; --block) {
    const float* scales = b + tile.column / 2;  // f16
    b += kScaleWords + tile.column;
    MatrixSums<kRows, kVectors> acc;
    Unroll<kPairs>([&](auto p) {
      const Vec first = each_row(p, terms);
      Unroll<2 * kVectors>([&](auto c) { acc[p][c] = first; });
    });
    // Words `word` and, unless it is the last one of an odd number, the next.
    const auto multiply = [&](auto word, auto last) __attribute__((always_inline)) {
      Unroll<Blocks::kNibbles>([&](auto nibble) {
        constexpr int kTerm = word + nibble * Blocks::kWords;
        MultiplyMatrices<ByteMatrices>(
            acc,
            [&](auto p) {
              return last ? LoadSingles(a[p] + kTerm, a[p] + a_row + kTerm)
                          : LoadPairs(a[p] + kTerm, a[p] + a_row + kTerm);
            },
            [&](auto c) {
              const float* first = b + word * kPanelColumns + c / 2 * Vec::kLanes;
              const Vec second = last ? Zero() : Load(first + kPanelColumns);
              return Nibbles<Blocks::kNibbles>(nibble, PairOfColumns(c, Load(first), second));
            });
      });
      ahead.Step();
      if (!last) ahead.Step();
    };
    if constexpr (kWhole) {
      int64_t left = words;
      for (; left > 1; left -= 2, b += 2 * kPanelColumns) {
        multiply(Index<0>{}, Index<0>{});
        Unroll<kPairs>([&](auto p) { a[p] += 2; });
      }
      if (left > 0) {
        multiply(Index<0>{}, Index<1>{});
        Unroll<kPairs>([&](auto p) { a[p] += 1; });
        b += kPanelColumns;
      }
      Unroll<kPairs>([&](auto p) {
        const Vec row_scale = each_row(p, 1);
        Unroll<2 * kVectors>([&](auto c) {
          const Vec scale = Load(b + c / 2 * Vec::kLanes);
          acc[p][c] = IntsToFloats(acc[p][c]) * (row_scale * PairOfColumns(c, scale, scale));
        });
      });
      StoreSums<kRows, kVectors>(tile, acc);
    } else {
      Unroll<Blocks::kWords / 2>([&](auto pair) { multiply(Index<2 * pair>{}, Index<0>{}); });
      Unroll<kPairs>([&](auto p) { a[p] += terms; });
      b += Blocks::kWords * kPanelColumns - tile.column;
      Vec row_scale[kPairs];
      Unroll<kPairs>([&](auto p) { row_scale[p] = each_row(p, 1); });
      Unroll<2 * kVectors>([&](auto c) {
        const Vec pair = LoadF16(scales + c / 2 * (Vec::kLanes / 2)),
                  scale = Pin(PairOfColumns(c, pair, pair));
        Unroll<kPairs>([&](auto p) {
          sums[p][c] = Pin(Fma(Pin(IntsToFloats(acc[p][c]) * row_scale[p]), scale, sums[p][c]));
        });
      });
      Unroll<kPairs>([&](auto p) { a[p] += 2; });
    }
  }
  if constexpr (!kWhole) StoreSums<kRows, kVectors>(tile, sums);
  ahead.Finish();
}

template <class Blocks>
struct IntegerMatrixKernel {
  using Few = IntegerKernel<Blocks, Bytes>;
  // Blocks have sums beside the accumulators, nibbles a mask.
  static constexpr int kMaxRows = !Blocks::kWords        ? kGemmRows
                                  : Blocks::kNibbles > 1 ? kGemmRows / 3
                                                         : kGemmRows / 2;
  // Up to so many rows read a panel in one go, and leave nothing to pair.
  static constexpr int kFewRows = Few::kPanelRows > 0 ? Few::kPanelRows : 1;
  template <int kRows, int kVectors>
  static constexpr auto Choose() {
    if constexpr (kRows > kFewRows)
      return &IntegerMatrixMicroKernel<Blocks, kRows, kVectors>;
    else
      return Few::template kRun<kRows, kVectors>;
  }
  template <int kRows, int kVectors>
  static constexpr auto kRun = Choose<kRows, kVectors>();

  static void Tile(const GemmTile& tile) {
    tile.rows <= kFewRows ? PanelTileKernel<Few, Few::kPanelRows>(tile)
                          : PanelTileKernel<IntegerMatrixKernel, 0>(tile);
  }
};

template <class Blocks>
constexpr PanelKernels kIntegerMatrixPanel = {
    .mr = IntegerMatrixKernel<Blocks>::kMaxRows,
    .row_floats = kIntegerPanel<Blocks, Bytes>.row_floats,
    .panel_rows = IntegerMatrixKernel<Blocks>::kMaxRows,
    .tile = IntegerMatrixKernel<Blocks>::Tile,
    .convert = kIntegerPanel<Blocks, Bytes>.convert,
};

constexpr KernelExtension ByteMatrixExtension(const char* name) {
  return {
      .name = name,
      .panels = {{},
                 {},
                 {},
                 kIntegerMatrixPanel<Int8Blocks>,
                 kIntegerMatrixPanel<Q8Blocks>,
                 kIntegerMatrixPanel<Q4Blocks>},
      .int8 = kComputePeak<ByteMatrices>,
  };
}
