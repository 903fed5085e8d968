// Filling, copying and transposing words of 32 bits (CopyKernels of kernel_table.h). What is far is written
// by whole vectors past the caches, so that no line of it is read first. Included inside each instruction
// set's anonymous namespace, after gemm_pack-inl.h.

// Calls write(i, lanes) for all of y[0 … n), `far` or not: the ends that are no whole vector in any case by
// ordinary stores.
struct Far {
  void Write(float* p, Vec v) const { StoreFar(p, v); }
  Vec Read(const float* p) const { return Load(p); }
};
template <class F>
HEEDFUL_INLINE void ForLanesFar(float* y, int64_t n, F&& write) {
  constexpr int64_t kBytes = Vec::kLanes * sizeof(float);
  const int64_t past = static_cast<int64_t>(reinterpret_cast<uintptr_t>(y) % kBytes / sizeof(float));
  int64_t i = past == 0 ? 0 : Vec::kLanes - past;
  if (i > n) i = n;
  if (i > 0) write(int64_t{0}, Partial{static_cast<int>(i)});
  for (; i + Vec::kLanes <= n; i += Vec::kLanes) write(i, Far{});
  if (i < n) write(i, Partial{static_cast<int>(n - i)});
  FinishFar();
}

void FillKernel(float value, float* y, int64_t n, bool far) {
  const Vec v = Set1(value);
  if (far) return ForLanesFar(y, n, [=](int64_t i, auto lanes) { lanes.Write(y + i, v); });
  ForPacks(n, [=](int64_t i, auto lanes) { lanes.Write(y + i, v); });
}

void CopyFarKernel(const float* x, float* y, int64_t n) {
  ForLanesFar(y, n, [=](int64_t i, auto lanes) { lanes.Write(y + i, lanes.Read(x + i)); });
}

// By tiles of which both sides are some whole cache lines: the rows that a tile touches are few enough for
// the translation of their addresses to be at hand, and a tile's lines follow one another in pairs. Far tiles
// go through a buffer.
void TransposeTiles(const float* src, int64_t src_ld, float* dst, int64_t dst_ld, int64_t rows,
                    int64_t columns, bool far) {
  constexpr int64_t kTile = 32, kTileRow = kTile + Vec::kLanes;
  const bool aligned = reinterpret_cast<uintptr_t>(dst) % (Vec::kLanes * sizeof(float)) == 0;
  const bool streams = far && aligned && dst_ld % Vec::kLanes == 0;
  alignas(64) float tile[kTile * kTileRow];
  for (int64_t i = 0; i < rows; i += kTile) {
    const int64_t m = rows - i < kTile ? rows - i : kTile;
    for (int64_t j = 0; j < columns; j += kTile) {
      const int64_t n = columns - j < kTile ? columns - j : kTile;
      const float* const from = src + i * src_ld + j;
      float* const to = dst + j * dst_ld + i;
      if (!streams || m % Vec::kLanes != 0) {
        TransposeKernel(from, src_ld, to, dst_ld, m, n);
        continue;
      }
      TransposeKernel(from, src_ld, tile, kTileRow, m, n);
      for (int64_t c = 0; c < n; ++c) {
        for (int64_t r = 0; r < m; r += Vec::kLanes)
          StoreFar(to + c * dst_ld + r, Load(tile + c * kTileRow + r));
      }
    }
  }
  if (streams) FinishFar();
}

constexpr CopyKernels kCopyKernels = {&FillKernel, &CopyFarKernel, &TransposeTiles};
