// Micro-kernels of packed integers with scales: int8, q8_0 and q4_0 of kernel_table.h. Included inside each
// instruction set's anonymous namespace after gemm-inl.h.
//
// Rows of A are rounded to integers of [−127, 127] with a scale of their own for each block of k (int8: for
// the row). In a block, with q the integers of A and u those of B plus an offset that makes them unsigned:
//   C[i, j] (+)= scale_A[i] · scale_B[j] · (Σ_k q[i, k] · u[k, j] − offset · Σ_k q[i, k])
// The sum in parentheses is exact: it begins with its second term, which is stored with the row. Blocks are
// added in f32 in the order of k. A block of a row with a number that is not finite has the scale NaN; one
// whose largest magnitude is below 2⁻¹¹⁸ counts as zeros. A block of a row as it is read: the integers, then
// −offset · Σ q as an integer, then the scale.

constexpr float kIntegerLevels = 127, kLeastMagnitude = 0x1p-118f;
constexpr int kBlockTerms = 32, kTermsOfWord = 4;

// B: kWords rows of 32 words in a block (0: all of k), kNibbles terms in each byte.
struct Int8Blocks {
  static constexpr int kWords = 0, kNibbles = 1;
};
struct Q8Blocks {
  static constexpr int kWords = 8, kNibbles = 1;
};
struct Q4Blocks {
  static constexpr int kWords = 4, kNibbles = 2;
};
// What bytes hold more than their number, as Terms multiply them. Nibbles stay as they are.
template <class Blocks, class Terms>
constexpr int kOffsetOf = Blocks::kNibbles == 1 ? Terms::kByteOffset : 8;

// Bytes are widened to 16 bits, the even ones and the odd ones, and multiplied in pairs. Pinned: GCC would
// make all products first and have no registers for them.
struct Shorts {
  static constexpr int kParts = 2, kProducts = 2, kByteOffset = 128;
  template <int>
  static Vec Part(Index<0>, Vec word) {
    return EvenBytes(word);
  }
  template <int>
  static Vec Part(Index<1>, Vec word) {
    return OddBytes(word);
  }
  static Vec Left(const float* p) { return Broadcast(p); }
  static Vec MultiplyAdd(Vec a, Vec b, Vec sum) { return Pin(DotShorts(a, b, sum)); }
  static void StoreTerms(float* row, Vec x) { StoreShorts(row, x); }
};

template <int kNibbles>
inline Vec Nibbles(int nibble, Vec word) {
  if constexpr (kNibbles == 1) return word;
  return Pin(nibble ? HighNibbles(word) : LowNibbles(word));  // one mask for all, not one for each part
}

template <class Blocks, class Terms, int kRows, int kVectors>
HEEDFUL_MICRO_KERNEL void IntegerMicroKernel(const GemmTile& tile) {
  constexpr bool kWhole = Blocks::kWords == 0;
  constexpr int kScaleWords = kWhole ? 0 : kPanelColumns / 2;
  constexpr int kPointers = (kRows + 2) / 3;
  const int64_t words = kWhole ? tile.k : Blocks::kWords;
  const float* a[kPointers];
  const int64_t a_row = tile.a_row;
  Unroll<kPointers>([&](auto p) { a[p] = Opaque(tile.a + 3 * p * a_row); });
  const auto at = [&](auto i) { return a[i / 3] + i % 3 * a_row; };
  const float* b = tile.b;
  if (tile.next) PrefetchTile<kVectors>(tile, kRows);
  Ahead ahead(tile, (kWhole ? 1 : tile.k) * words, b);

  Vec sum[kRows][kVectors];
  if constexpr (!kWhole)
    Unroll<kRows>([&](auto i) { Unroll<kVectors>([&](auto j) { sum[i][j] = Zero(); }); });
  for (int64_t block = kWhole ? 1 : tile.k; block > 0; --block) {
    const float* scales = b + tile.column / 2;  // f16
    b += kScaleWords + tile.column;
    // The first terms of the sums lie after the integers.
    const int64_t terms = words * (Blocks::kNibbles * Terms::kParts);
    Vec acc[kRows][kVectors];
    Unroll<kRows>([&](auto i) {
      const Vec first = Broadcast(at(i) + terms);
      Unroll<kVectors>([&](auto j) { acc[i][j] = first; });
    });
    const auto multiply = [&](auto word) __attribute__((always_inline)) {
      Unroll<Blocks::kNibbles>([&](auto nibble) {
        Unroll<Terms::kParts>([&](auto part) {
          constexpr int kTerm = (word + nibble * Blocks::kWords) * Terms::kParts + part;
          const auto of = [&](auto j) {
            const Vec packed = Load(b + word * kPanelColumns + j * Vec::kLanes);
            return Terms::template Part<Blocks::kNibbles>(part, Nibbles<Blocks::kNibbles>(nibble, packed));
          };
          if constexpr (kRows == 1) {
            const auto aik = Terms::Left(at(Index<0>{}) + kTerm);
            Unroll<kVectors>([&](auto j) { acc[0][j] = Terms::MultiplyAdd(aik, Pin(of(j)), acc[0][j]); });
          } else {
            Vec bk[kVectors];
            // Not the other part too, for which there are no registers.
            constexpr bool kPin = kWhole && Terms::kParts > 1;
            Unroll<kVectors>([&](auto j) { bk[j] = kPin ? Pin(of(j)) : of(j); });
            Unroll<kRows>([&](auto i) {
              const auto aik = Terms::Left(at(i) + kTerm);
              Unroll<kVectors>([&](auto j) { acc[i][j] = Terms::MultiplyAdd(aik, bk[j], acc[i][j]); });
            });
          }
        });
      });
      Unroll<kRows>([&](auto i) { Unroll<kVectors>([&](auto j) { acc[i][j] = Pin(acc[i][j]); }); });
      ahead.Step();
    };
    if constexpr (kWhole) {
      for (int64_t word = words; word > 0; --word) {
        multiply(Index<0>{});
        Unroll<kPointers>([&](auto p) { a[p] += Terms::kParts; });
        b += kPanelColumns;
      }
    } else {
      Unroll<Blocks::kWords>(multiply);
      Unroll<kPointers>([&](auto p) { a[p] += terms; });
      b += Blocks::kWords * kPanelColumns;
    }
    if constexpr (kWhole) {
      Unroll<kRows>([&](auto i) {
        const Vec scale = Broadcast(at(i) + 1);
        Unroll<kVectors>(
            [&](auto j) { acc[i][j] = IntsToFloats(acc[i][j]) * (scale * Load(b + j * Vec::kLanes)); });
      });
      StoreTile<kRows, kVectors>(tile, acc);
    } else {
      Vec scale[kVectors];
      if constexpr (kRows > 1)
        Unroll<kVectors>([&](auto j) { scale[j] = LoadF16(scales + j * (Vec::kLanes / 2)); });
      Unroll<kRows>([&](auto i) {
        const Vec row_scale = Pin(Broadcast(at(i) + 1));
        Unroll<kVectors>([&](auto j) {
          if constexpr (kRows == 1) scale[j] = LoadF16(scales + j * (Vec::kLanes / 2));
          sum[i][j] = Pin(Fma(Pin(IntsToFloats(acc[i][j]) * row_scale), scale[j], sum[i][j]));
        });
      });
      Unroll<kPointers>([&](auto p) { a[p] += 2; });
      b -= tile.column;
    }
  }
  if constexpr (!kWhole) StoreTile<kRows, kVectors>(tile, sum);
  ahead.Finish();
}

// x[0 … n − 1] to the integers of a block, `terms` ≥ n of them, and what follows them.
template <class Terms, int kOffset>
inline void RoundBlock(const float* x, int64_t n, int64_t terms, float* row) {
  constexpr int kLanes = Vec::kLanes;
  Vec largest[2] = {Zero(), Zero()}, finite = Zero();  // NaN where a number is not
  int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    const Vec x0 = Load(x + i), x1 = Load(x + i + kLanes);
    largest[0] = Max(largest[0], Abs(x0));
    largest[1] = Max(largest[1], Abs(x1));
    finite = Fma(x0, Zero(), Fma(x1, Zero(), finite));
  }
  for (; i < n; i += kLanes) {
    const Vec xi = LoadPartial(x + i, n - i < kLanes ? static_cast<int>(n - i) : kLanes);
    largest[0] = Max(largest[0], Abs(xi));
    finite = Fma(xi, Zero(), finite);
  }
  const float most = ReduceMax(Max(largest[0], largest[1])), nan = ReduceAdd(finite);
  const bool zero = !(most >= kLeastMagnitude && nan == 0);
  if (zero) n = 0;
  const Vec inverse = Set1(zero ? 0.0f : kIntegerLevels / most);
  Vec sums[2] = {Zero(), Zero()};
  float* to = row;
  constexpr int kFloats = kLanes / kTermsOfWord * Terms::kParts;
  for (i = 0; i + 2 * kLanes <= n; i += 2 * kLanes, to += 2 * kFloats) {
    const Vec q0 = Round(Load(x + i) * inverse), q1 = Round(Load(x + i + kLanes) * inverse);
    sums[0] = sums[0] + q0;
    sums[1] = sums[1] + q1;
    Terms::StoreTerms(to, q0);
    Terms::StoreTerms(to + kFloats, q1);
  }
  for (; i < terms; i += kLanes, to += kFloats) {
    const int64_t left = n - i < 0 ? 0 : n - i;
    const Vec q = Round(LoadPartial(x + i, left < kLanes ? static_cast<int>(left) : kLanes) * inverse);
    sums[0] = sums[0] + q;
    Terms::StoreTerms(to, q);
  }
  const float sum = ReduceAdd(sums[0] + sums[1]);  // exact: below 2²⁴
  const int32_t first = nan == 0 ? static_cast<int32_t>(sum) * -kOffset : 0;
  row += terms / kTermsOfWord * Terms::kParts;
  __builtin_memcpy(row, &first, sizeof first);
  row[1] = (zero ? 0.0f : most / kIntegerLevels) + nan;
}

template <class Blocks, class Terms>
struct IntegerKernel {
  // Blocks need accumulators for the integers beside those for the sums of blocks; widened terms need
  // registers.
  static constexpr int kMaxRows = Terms::kParts == 1 ? (Blocks::kWords ? kGemmRows * 3 / 7 : kGemmRows)
                                  : Blocks::kWords   ? kGemmRows / 3
                                                     : kGemmRows * 5 / 7;
  // All columns of a panel at once. Halves of bytes that are widened need too many registers.
  static constexpr bool kCrowded = Blocks::kNibbles > 1 && Terms::kParts > 1;
  static constexpr int kPanelRows = !kNarrowTiles    ? kMaxRows
                                    : kCrowded       ? 0
                                    : Blocks::kWords ? 1
                                                     : kGemmPanelRows;
  static constexpr int kBlockFloats = kBlockTerms / kTermsOfWord * Terms::kParts + 2;
  template <int kRows, int kVectors>
  static constexpr auto kRun = &IntegerMicroKernel<Blocks, Terms, kRows, kVectors>;

  static void ConvertRow(const float* x, int64_t n, float* row) {
    if constexpr (Blocks::kWords == 0) {
      RoundBlock<Terms, kOffsetOf<Blocks, Terms>>(x, n, (n + kTermsOfWord - 1) / kTermsOfWord * kTermsOfWord,
                                                  row);
    } else {
      for (; n > 0; n -= kBlockTerms, x += kBlockTerms, row += kBlockFloats)
        RoundBlock<Terms, kOffsetOf<Blocks, Terms>>(x, n < kBlockTerms ? n : kBlockTerms, kBlockTerms, row);
    }
  }
};

template <class Blocks, class Terms>
constexpr PanelKernels kIntegerPanel = {
    .mr = IntegerKernel<Blocks, Terms>::kMaxRows,
    .row_floats = Blocks::kWords ? IntegerKernel<Blocks, Terms>::kBlockFloats : Terms::kParts,
    // Two rows that share unpacked nibbles, part of the columns at a time, are faster than one after the
    // other.
    .panel_rows = Blocks::kNibbles > 1 ? IntegerKernel<Blocks, Terms>::kMaxRows
                                       : IntegerKernel<Blocks, Terms>::kPanelRows,
    .tile = PanelTileKernel<IntegerKernel<Blocks, Terms>, IntegerKernel<Blocks, Terms>::kPanelRows>,
    .convert = IntegerKernel<Blocks, Terms>::ConvertRow,
};
