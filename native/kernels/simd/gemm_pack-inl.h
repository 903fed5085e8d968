// Transposition, and the panels of B that the micro-kernels read.

// A block of at most kLanes × kLanes, by way of full ones on the stack.
HEEDFUL_NOINLINE void TransposePartialBlock(const float* src, int64_t src_ld, float* dst, int64_t dst_ld,
                                            int rows, int columns) {
  alignas(64) float from[Vec::kLanes * Vec::kLanes], to[Vec::kLanes * Vec::kLanes];
  for (int i = 0; i < Vec::kLanes; ++i) {
    Store(from + i * Vec::kLanes, i < rows ? LoadPartial(src + i * src_ld, columns) : Zero());
  }
  TransposeBlock(from, Vec::kLanes, to, Vec::kLanes);
  for (int j = 0; j < columns; ++j) StorePartial(dst + j * dst_ld, Load(to + j * Vec::kLanes), rows);
}

// dst[j, i] = src[i, j], i < rows, j < columns. src and dst do not overlap.
void TransposeKernel(const float* src, int64_t src_ld, float* dst, int64_t dst_ld, int64_t rows,
                     int64_t columns) {
  constexpr int kLanes = Vec::kLanes;
  for (int64_t i = 0; i < rows; i += kLanes) {
    const int m = rows - i < kLanes ? static_cast<int>(rows - i) : kLanes;
    for (int64_t j = 0; j < columns; j += kLanes) {
      const int n = columns - j < kLanes ? static_cast<int>(columns - j) : kLanes;
      const float* from = src + i * src_ld + j;
      float* to = dst + j * dst_ld + i;
      if (m == kLanes && n == kLanes) {
        TransposeBlock(from, src_ld, to, dst_ld);
      } else {
        TransposePartialBlock(from, src_ld, to, dst_ld, m, n);
      }
    }
  }
}

// panel[k, j] = b[k, j], j < columns; 0 for columns ≤ j < kGemmColumns.
void PackRowsKernel(const float* b, int64_t ld, int64_t k, int columns, float* panel) {
  if (columns == kGemmColumns) {
    for (; k > 0; --k, b += ld, panel += kGemmColumns) {
      Unroll<kGemmVectors>([&](auto j) { Store(panel + j * Vec::kLanes, Load(b + j * Vec::kLanes)); });
    }
    return;
  }
  for (; k > 0; --k, b += ld, panel += kGemmColumns) {
    Unroll<kGemmVectors>([&](auto j) {
      const int left = columns - j * Vec::kLanes;
      const Vec v =
          left > 0 ? LoadPartial(b + j * Vec::kLanes, left < Vec::kLanes ? left : Vec::kLanes) : Zero();
      Store(panel + j * Vec::kLanes, v);
    });
  }
}

// The same of b[j, k].
void PackColumnsKernel(const float* b, int64_t ld, int64_t k, int columns, float* panel) {
  if (columns < kGemmColumns) {
    for (int64_t i = 0; i < k; ++i) {
      Unroll<kGemmVectors>([&](auto j) { Store(panel + i * kGemmColumns + j * Vec::kLanes, Zero()); });
    }
  }
  TransposeKernel(b, ld, panel, kGemmColumns, columns, k);
}
