// Micro-kernels where the CPU multiplies matrices: two rows of A, two words of each along k, by as much of
// two columns of B, to a vector of four sums. Included inside each instruction set's anonymous namespace,
// after gemm-inl.h; for two rows and more.
//
// Operands are those of the other micro-kernels: two rows of A beside each other are one vector, two rows of
// B are interleaved to have words of a column beside each other, sums are put in order at the end. Of an odd
// number of rows the last two are a pair too, so that nothing else is read. After the end of k there are
// zeros.

// sums[p][c]: rows FirstRow(p) and the next one by columns 2c and 2c + 1, lane 2·column + row.
template <int kRows>
constexpr int kRowPairs = (kRows + 1) / 2;
template <int kRows, int kVectors>
using MatrixSums = Vec[kRowPairs<kRows>][2 * kVectors];

template <int kRows>
constexpr int FirstRow(int pair) {
  return 2 * pair + 1 < kRows ? 2 * pair : kRows - 2;
}

// sums += rows(p) · columns(c). The operands that are fewer wait in registers.
template <class Words, int kPairs, int kColumns, class RowsOf, class ColumnsOf>
HEEDFUL_INLINE void MultiplyMatrices(Vec (&sums)[kPairs][kColumns], RowsOf&& rows, ColumnsOf&& columns) {
  if constexpr (kPairs < kColumns) {
    Vec a[kPairs];
    Unroll<kPairs>([&](auto p) { a[p] = rows(p); });
    Unroll<kColumns>([&](auto c) {
      const Vec b = columns(c);
      Unroll<kPairs>([&](auto p) { sums[p][c] = Pin(Words::MultiplyAdd(b, a[p], sums[p][c])); });
    });
  } else {
    Vec b[kColumns];
    Unroll<kColumns>([&](auto c) { b[c] = columns(c); });
    Unroll<kPairs>([&](auto p) {
      const Vec a = rows(p);
      Unroll<kColumns>([&](auto c) { sums[p][c] = Pin(Words::MultiplyAdd(b[c], a, sums[p][c])); });
    });
  }
}

// Columns 2c and 2c + 1 of two rows of B, vector c / 2 of each.
HEEDFUL_INLINE Vec PairOfColumns(int c, Vec first, Vec second) {
  return c % 2 ? ZipHigh(first, second) : ZipLow(first, second);
}

template <int kRows, int kVectors>
HEEDFUL_INLINE void StoreSums(const GemmTile& tile, const MatrixSums<kRows, kVectors>& sums) {
  Vec c[kRows][kVectors];
  Unroll<kRows>([&](auto i) {
    constexpr bool kSecond = i % 2 == 1 || i + 1 == kRows;
    Unroll<kVectors>([&](auto j) {
      const Vec low = sums[i / 2][2 * j], high = sums[i / 2][2 * j + 1];
      c[i][j] = kSecond ? OddLanes(low, high) : EvenLanes(low, high);
    });
  });
  StoreTile<kRows, kVectors>(tile, c);
}

// Words: MultiplyAdd(columns, rows, sums). kTransposed as in GemmMicroKernel.
template <class Words, int kRows, int kVectors, bool kTransposed>
HEEDFUL_MICRO_KERNEL void MatrixMicroKernel(const GemmTile& tile) {
  constexpr int kPairs = kRowPairs<kRows>, kPointers = kTransposed ? 1 : kPairs;
  MatrixSums<kRows, kVectors> sums;
  Unroll<kPairs>([&](auto p) { Unroll<2 * kVectors>([&](auto c) { sums[p][c] = Zero(); }); });

  const int64_t a_row = tile.a_row, a_k = tile.a_k, b_row = tile.b_row;
  const float* a[kPointers];
  Unroll<kPointers>([&](auto p) { a[p] = Opaque(tile.a + (kTransposed ? 0 : FirstRow<kRows>(p) * a_row)); });
  const float* b = tile.b + tile.column;
  if (tile.next) PrefetchTile<kVectors>(tile, kRows);
  Ahead ahead(tile, tile.k, b);
  int64_t k = tile.k;
  for (; k > 1; k -= 2) {
    MultiplyMatrices<Words>(
        sums,
        [&](auto p) {
          if constexpr (!kTransposed) return LoadPairs(a[p], a[p] + a_row);
          const float* first = a[0] + FirstRow<kRows>(p);
          return LoadTransposedPairs(first, first + a_k);
        },
        [&](auto c) {
          const float* first = b + c / 2 * Vec::kLanes;
          return PairOfColumns(c, Load(first), Load(first + b_row));
        });
    Unroll<kPointers>([&](auto p) { a[p] += kTransposed ? 2 * a_k : 2; });
    b += 2 * b_row;
    ahead.Step();
    ahead.Step();
  }
  if (k > 0) {
    MultiplyMatrices<Words>(
        sums,
        [&](auto p) {
          if constexpr (!kTransposed) return LoadSingles(a[p], a[p] + a_row);
          const float* first = a[0] + FirstRow<kRows>(p);
          return LoadSingles(first, first + 1);
        },
        [&](auto c) { return PairOfColumns(c, Load(b + c / 2 * Vec::kLanes), Zero()); });
    ahead.Step();
  }
  ahead.Finish();

  StoreSums<kRows, kVectors>(tile, sums);
}
