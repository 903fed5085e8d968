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

// How the words of B are multiplied: kParts floats of a row of A, one after another, each with a part of the
// word.
struct F32Words {
  static constexpr int kParts = 1;
  static Vec Part(Index<0>, const float* b) { return Load(b); }
};
// Two bfloat16, widened: the products are those of f32.
struct Bf16Words {
  static constexpr int kParts = 2;
  static Vec Part(Index<0>, const float* b) { return LowBf16(Load(b)); }
  static Vec Part(Index<1>, const float* b) { return HighBf16(Load(b)); }
};

// Keeps the compiler from rewriting `p` as an offset from another pointer.
template <class T>
inline T* Opaque(T* p) {
#if defined(__GNUC__)
  asm("" : "+r"(p));
#endif
  return p;
}

// C is read or overwritten after the whole of k: by then it is there.
template <int kVectors>
inline void PrefetchTile(const GemmTile& tile, int rows) {
  const float* c = tile.c;
  for (int i = 0; i < rows; ++i, c += tile.c_row) {
    for (int j = 0; j < kVectors * Vec::kLanes; j += kLineFloats) Prefetch(c + j);
  }
}

// kVectors: columns rounded up to vectors. kTransposed: A[i, k] at a[i + k·a_k], else at a[i·a_row + k].
template <class Words, int kRows, int kVectors, bool kTransposed>
HEEDFUL_NOINLINE void GemmMicroKernel(const GemmTile& tile) {
  Vec acc[kRows][kVectors];
  Unroll<kRows>([&](auto i) { Unroll<kVectors>([&](auto j) { acc[i][j] = Zero(); }); });

  // A pointer for every third row: each address is then pointer + {0, 1, 2}·a_row, which x86 encodes
  // directly.
  constexpr int kPointers = kTransposed ? 1 : (kRows + 2) / 3;
  const float* a[kPointers];
  const int64_t a_row = tile.a_row, a_step = kTransposed ? tile.a_k : Words::kParts, b_row = tile.b_row;
  Unroll<kPointers>([&](auto p) { a[p] = Opaque(tile.a + 3 * p * a_row); });
  const float* b = tile.b;
  if (tile.next) PrefetchTile<kVectors>(tile, kRows);
  const bool asks = tile.next && tile.next->total > 0;
  // Else memory that is there: an address without any would be looked up again and again.
  const char* wanted = asks ? tile.next->at : reinterpret_cast<const char*>(b);
  const int64_t step = asks ? tile.next->step : 0;
  int64_t left = asks ? tile.next->left : tile.k + 1;
  for (int64_t k = tile.k; k > 0; --k) {
    Unroll<Words::kParts>([&](auto part) {
      Vec bk[kVectors];
      Unroll<kVectors>([&](auto j) { bk[j] = Words::Part(part, b + j * Vec::kLanes); });
      Unroll<kRows>([&](auto i) {
        const Vec aik = Broadcast(kTransposed ? a[0] + i : a[i / 3 % kPointers] + i % 3 * a_row + part);
        Unroll<kVectors>([&](auto j) { acc[i][j] = Fma(aik, bk[j], acc[i][j]); });
      });
    });
    Unroll<kPointers>([&](auto p) { a[p] += a_step; });
    b += b_row;
    PrefetchFar(wanted);
    wanted += step;
    if (--left == 0) {
      wanted += tile.next->jump;
      left = tile.next->run;
    }
  }
  if (asks) {
    tile.next->at = wanted;
    tile.next->left = left;
    tile.next->total -= tile.k;
  }

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

// GemmMicroKernel<Words, r, v, kTransposed> at [r − 1][v − 1].
template <class Words, bool kTransposed>
struct GemmMicroKernels {
  void (*at[kGemmRows][kGemmVectors])(const GemmTile&);

  template <int kRows, int kVectors>
  constexpr void Fill() {
    at[kRows - 1][kVectors - 1] = GemmMicroKernel<Words, kRows, kVectors, kTransposed>;
    if constexpr (kVectors > 1) {
      Fill<kRows, kVectors - 1>();
    } else if constexpr (kRows > 1) {
      Fill<kRows - 1, kGemmVectors>();
    }
  }
  constexpr GemmMicroKernels() : at{} { Fill<kGemmRows, kGemmVectors>(); }
};

template <class Words, bool kTransposed = false>
void WordsTileKernel(const GemmTile& tile) {
  static constexpr GemmMicroKernels<Words, kTransposed> kMicroKernels;
  kMicroKernels.at[tile.rows - 1][(tile.columns - 1) / Vec::kLanes](tile);
}

void GemmTileKernel(const GemmTile& tile) {
  tile.a_k == 1 ? WordsTileKernel<F32Words>(tile) : WordsTileKernel<F32Words, true>(tile);
}

// A block of C at most this large goes through the activation at once, rows laid end to end: one call, one
// tail.
constexpr int kEpilogueSize = 1024;

// c += bias, and c itself to `block`, `columns` apart.
inline void EpilogueGather(const float* bias, const float* c, int64_t c_row, int rows, int columns,
                           float* block) {
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; j += Vec::kLanes) {
      const int n = columns - j < Vec::kLanes ? columns - j : Vec::kLanes;
      const Vec x = LoadPartial(c + i * c_row + j, n);
      Store(block + i * columns + j, bias ? x + LoadPartial(bias + j, n) : x);
    }
  }
}

inline void EpilogueScatter(const float* block, float* c, int64_t c_row, int rows, int columns) {
  for (int i = 0; i < rows; ++i) {
    int j = 0;
    for (; j + Vec::kLanes <= columns; j += Vec::kLanes)
      Store(c + i * c_row + j, Load(block + i * columns + j));
    if (j < columns) StorePartial(c + i * c_row + j, Load(block + i * columns + j), columns - j);
  }
}

inline void EpilogueBias(const float* bias, float* c, int64_t c_row, int rows, int columns) {
  for (int j = 0; j < columns; j += Vec::kLanes) {
    const int n = columns - j < Vec::kLanes ? columns - j : Vec::kLanes;
    const Vec shift = LoadPartial(bias + j, n);
    for (int i = 0; i < rows; ++i) {
      float* p = c + i * c_row + j;
      if (n == Vec::kLanes) {
        Store(p, Load(p) + shift);
      } else {
        StorePartial(p, LoadPartial(p, n) + shift, n);
      }
    }
  }
}

void GemmEpilogueKernel(const GemmEpilogue& e, float* c, int64_t c_row, int rows, int columns) {
  if (e.function == Unary::identity && !e.pre_activation) {
    if (e.bias) EpilogueBias(e.bias, c, c_row, rows, columns);
    return;
  }
  // The last row's last vector may reach beyond the block's end.
  alignas(64) float block[kEpilogueSize + Vec::kLanes], aux[kEpilogueSize + Vec::kLanes];
  const int function = static_cast<int>(e.function);
  const int column_step = columns < kEpilogueSize ? columns : kEpilogueSize,
            row_step = kEpilogueSize / column_step;
  for (int j = 0; j < columns; j += column_step) {
    const int n = columns - j < column_step ? columns - j : column_step;
    const float* bias = e.bias ? e.bias + j : nullptr;
    for (int i = 0; i < rows; i += row_step) {
      const int m = rows - i < row_step ? rows - i : row_step;
      float* tile = c + i * c_row + j;
      EpilogueGather(bias, tile, c_row, m, n, block);
      if (e.gradient) {
        EpilogueGather(nullptr, e.aux + i * e.aux_row + j, e.aux_row, m, n, aux);
        kElementwiseKernels.unary_gradient[function](aux, block, block, m * n);
      } else {
        if (e.pre_activation) {
          EpilogueScatter(block, e.pre_activation + i * e.pre_activation_row + j, e.pre_activation_row, m, n);
        }
        kElementwiseKernels.unary[function](block, block, m * n);
      }
      EpilogueScatter(block, tile, c_row, m, n);
    }
  }
}
