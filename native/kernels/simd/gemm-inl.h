// Micro-kernels of the matrix product, C[i, j] (+)= Σ_k A[i, k] · B[k, j], one per format of B and tile
// shape.
//
// Each instruction set defines kGemmRows and kGemmVectors (a tile is at most kGemmRows × kGemmVectors
// vectors, all accumulators in registers), kGemmDepth, kGemmInPlaceRows and kGemvRows (GemmKernels' kc,
// in_place_rows and gemv_rows) before it includes this file. A is read in place, one broadcast per element; B
// row by row, whole vectors; C only where the tile has columns. Accuracy: one accumulator per element, fused
// multiply-adds in the order of k (scalar: product rounded first). Source: the loop around the register block
// of Goto & van de Geijn 2008 and BLIS (Van Zee & van de Geijn 2015), without packing A.

#if defined(_MSC_VER) && !defined(__clang__)
#define HEEDFUL_NOINLINE __declspec(noinline)
#else
#define HEEDFUL_NOINLINE __attribute__((noinline))
#endif

constexpr int kLineFloats = 16;  // of a cache line
constexpr int kGemmColumns = kGemmVectors * Vec::kLanes;
static_assert(kPanelColumns % kGemmColumns == 0, "tiles read panels in whole parts");

// How a row of B is multiplied, vector j of its columns from At(b, column): kParts floats of a row of A, one
// after another, each with a part of the word.
struct F32Words {
  static constexpr int kParts = 1, kRows = kGemmRows;
  static const float* At(const float* b, int column) { return b + column; }
  static Vec Part(Index<0>, const float* b, int j) { return Load(b + j * Vec::kLanes); }
  static Vec MultiplyAdd(Splat a, Vec b, Vec sum) { return Fma(a, b, sum); }
};
// Two bfloat16, widened: the products are those of f32.
struct Bf16Words {
  // A row less where widening would need the last registers.
  static constexpr int kParts = 2, kRows = kGemmVectors > 2 ? kGemmRows - 1 : kGemmRows;
  static const float* At(const float* b, int column) { return b + column; }
  static Vec Part(Index<0>, const float* b, int j) { return LowBf16(Load(b + j * Vec::kLanes)); }
  static Vec Part(Index<1>, const float* b, int j) { return HighBf16(Load(b + j * Vec::kLanes)); }
  static Vec MultiplyAdd(Splat a, Vec b, Vec sum) { return Fma(a, b, sum); }
};
// Numbers in f16, half a word each, widened.
struct F16Words {
  static constexpr int kParts = 1, kRows = kGemmRows;
  static const float* At(const float* b, int column) { return b + column / 2; }
  static Vec Part(Index<0>, const float* b, int j) { return LoadF16(b + j * (Vec::kLanes / 2)); }
  static Vec MultiplyAdd(Splat a, Vec b, Vec sum) { return Fma(a, b, sum); }
};

// Keeps the compiler from rewriting `p` as an offset from another pointer.
template <class T>
inline T* Opaque(T* p) {
#if defined(__GNUC__)
  asm("" : "+r"(p));
#endif
  return p;
}

#include "kernels/simd/gemm_ahead-inl.h"

// C is read or overwritten after the whole of k: by then it is there.
template <int kVectors>
inline void PrefetchTile(const GemmTile& tile, int rows) {
  const float* c = tile.c;
  for (int i = 0; i < rows; ++i, c += tile.c_row) {
    for (int j = 0; j < kVectors * Vec::kLanes; j += kLineFloats) Prefetch(c + j);
  }
}

// acc to C, or added to it.
template <int kRows, int kVectors>
inline __attribute__((always_inline)) void StoreTile(const GemmTile& tile, Vec (&acc)[kRows][kVectors]) {
  constexpr int kLast = (kVectors - 1) * Vec::kLanes;
  const int64_t c_row = tile.c_row;
  if (tile.columns == kVectors * Vec::kLanes) {
    float* c = tile.c;
    if (tile.accumulate) {
      Unroll<kRows>([&](auto i) {
        Unroll<kVectors>([&](auto j) { Store(c + j * Vec::kLanes, Load(c + j * Vec::kLanes) + acc[i][j]); });
        c += c_row;
      });
    } else {
      Unroll<kRows>([&](auto i) {
        Unroll<kVectors>([&](auto j) { Store(c + j * Vec::kLanes, acc[i][j]); });
        c += c_row;
      });
    }
    return;
  }
  float* c = tile.c;
  const int tail = tile.columns - kLast;
  Unroll<kRows>([&](auto i) {
    if (tile.accumulate) {
      Unroll<kVectors - 1>([&](auto j) { acc[i][j] = Load(c + j * Vec::kLanes) + acc[i][j]; });
      acc[i][kVectors - 1] = LoadPartial(c + kLast, tail) + acc[i][kVectors - 1];
    }
    Unroll<kVectors - 1>([&](auto j) { Store(c + j * Vec::kLanes, acc[i][j]); });
    StorePartial(c + kLast, acc[i][kVectors - 1], tail);
    c += c_row;
  });
}

// kVectors: columns rounded up to vectors. kTransposed: A[i, k] at a[i + k·a_k], else at a[i·a_row + k].
template <class Words, int kRows, int kVectors, bool kTransposed>
HEEDFUL_MICRO_KERNEL void GemmMicroKernel(const GemmTile& tile) {
  Vec acc[kRows][kVectors];
  Unroll<kRows>([&](auto i) { Unroll<kVectors>([&](auto j) { acc[i][j] = Zero(); }); });

  // A pointer for every third row: each address is then pointer + {0, 1, 2}·a_row, which x86 encodes
  // directly.
  constexpr int kPointers = kTransposed ? 1 : (kRows + 2) / 3;
  const float* a[kPointers];
  const int64_t a_row = tile.a_row, a_step = kTransposed ? tile.a_k : Words::kParts, b_row = tile.b_row;
  Unroll<kPointers>([&](auto p) { a[p] = Opaque(tile.a + 3 * p * a_row); });
  const float* b = Words::At(tile.b, tile.column);
  if (tile.next) PrefetchTile<kVectors>(tile, kRows);
  Ahead ahead(tile, tile.k, b);
  for (int64_t k = tile.k; k > 0; --k) {
    Unroll<Words::kParts>([&](auto part) {
      Vec bk[kVectors];
      Unroll<kVectors>([&](auto j) { bk[j] = Words::Part(part, b, j); });
      Unroll<kRows>([&](auto i) {
        const Splat aik = LoadSplat(kTransposed ? a[0] + i : a[i / 3 % kPointers] + i % 3 * a_row + part);
        Unroll<kVectors>([&](auto j) { acc[i][j] = Words::MultiplyAdd(aik, bk[j], acc[i][j]); });
      });
    });
    Unroll<kPointers>([&](auto p) { a[p] += a_step; });
    b += b_row;
    // Clang would put off the products behind the branch, their operands waiting, and spill.
    Unroll<kRows>([&](auto i) { Unroll<kVectors>([&](auto j) { acc[i][j] = Pin(acc[i][j]); }); });
    ahead.Step();
  }
  ahead.Finish();

  StoreTile<kRows, kVectors>(tile, acc);
}

// Kernel::kRun<r, v> at [r − 1][v − kFirst].
template <class Kernel, int kMaxRows, int kFirst, int kMaxVectors>
struct MicroKernels {
  void (*at[kMaxRows][kMaxVectors - kFirst + 1])(const GemmTile&);

  template <int kRows, int kVectors>
  constexpr void Fill() {
    at[kRows - 1][kVectors - kFirst] = Kernel::template kRun<kRows, kVectors>;
    if constexpr (kVectors > kFirst) {
      Fill<kRows, kVectors - 1>();
    } else if constexpr (kRows > 1) {
      Fill<kRows - 1, kMaxVectors>();
    }
  }
  constexpr MicroKernels() : at{} { Fill<kMaxRows, kMaxVectors>(); }

  void operator()(const GemmTile& tile) const {
    at[tile.rows - 1][(tile.columns - 1) / Vec::kLanes + 1 - kFirst](tile);
  }
};

template <class Words, bool kTransposed = false>
struct WordsKernel {
  static constexpr int kMaxRows = Words::kRows;
  template <int kRows, int kVectors>
  static constexpr auto kRun = &GemmMicroKernel<Words, kRows, kVectors, kTransposed>;
};

// Tiles of up to kGemmVectors vectors.
template <class Kernel>
void NarrowTileKernel(const GemmTile& tile) {
  static constexpr MicroKernels<Kernel, Kernel::kMaxRows, 1, kGemmVectors> kTiles;
  kTiles(tile);
}

// Rows of a tile with all columns of a panel. The words need registers too, which accumulators leave.
constexpr int kSpareRows = kGemmRows * kGemmColumns / kPanelColumns - 1;
constexpr int kGemmPanelRows = kGemmColumns == kPanelColumns ? kGemmRows : kSpareRows > 0 ? kSpareRows : 1;

constexpr bool kNarrowTiles = kGemmColumns < kPanelColumns;

// The same, and tiles with up to all columns of a panel: of up to kPanelRows rows in one go, of more as
// several narrow ones.
template <class Kernel, int kPanelRows>
void PanelTileKernel(const GemmTile& tile) {
  if (!kNarrowTiles || tile.columns <= kGemmColumns) return NarrowTileKernel<Kernel>(tile);
  if constexpr (kNarrowTiles && kPanelRows > 0) {
    static constexpr MicroKernels<Kernel, kPanelRows, kGemmVectors + 1, kPanelColumns / Vec::kLanes> kTiles;
    if (tile.rows <= kPanelRows) return kTiles(tile);
  }
  GemmTile part = tile;
  for (int left = tile.columns; left > 0; left -= kGemmColumns) {
    part.columns = left < kGemmColumns ? left : kGemmColumns;
    NarrowTileKernel<Kernel>(part);
    part.column += kGemmColumns;
    part.c += kGemmColumns;
  }
}

// Panels that are multiplied word by word.
template <class Words>
constexpr PanelKernels kWordsPanel = {
    .mr = Words::kRows,
    .row_floats = Words::kParts,
    .panel_rows = kGemmPanelRows,
    .tile = PanelTileKernel<WordsKernel<Words>, kGemmPanelRows>,
    .convert = nullptr,
};
