// The kernels of the matrix product as a table.

void GemmTileKernel(const GemmTile& tile) {
  tile.a_k == 1 ? NarrowTileKernel<WordsKernel<F32Words>>(tile)
                : NarrowTileKernel<WordsKernel<F32Words, true>>(tile);
}

// Bf16Products where the CPU has no pairs: f32 that were rounded are multiplied as such, exactly.
void RoundRowKernel(const float* x, int64_t n, float* row) {
  ForLanes(n, [=](int64_t i, auto lanes) { lanes.Write(row + i, RoundBf16(lanes.Read(x + i))); });
}

void PackRoundedRowsKernel(const float* x, int64_t ld, int64_t k, int64_t columns, float* words,
                           int64_t out_row) {
  for (; k > 0; --k, x += ld, words += out_row) {
    RoundRowKernel(x, columns, words);
    float* rest = words + columns;
    ForLanes(out_row - columns, [=](int64_t i, auto lanes) { lanes.Write(rest + i, Zero()); });
  }
}

void PackRoundedColumnsKernel(const float* x, int64_t ld, int64_t k, int columns, float* panel) {
  PackColumnsKernel(x, ld, k, columns, panel);
  RoundRowKernel(panel, k * kGemmColumns, panel);
}

constexpr GemmKernels kGemmKernels = {
    .mr = kGemmRows,
    .nr = kGemmColumns,
    .kc = kGemmDepth,
    .in_place_rows = kGemmInPlaceRows,
    .gemv_rows = kGemvRows,
    .gemv_row_major_rows = kGemvRowMajorRows,
    .tile = GemmTileKernel,
    .panels = {kWordsPanel<F32Words>, kWordsPanel<Bf16Words>, kWordsPanel<F16Words>,
               kIntegerPanel<Int8Blocks, Shorts>, kIntegerPanel<Q8Blocks, Shorts>,
               kIntegerPanel<Q4Blocks, NibblePairs>},
    .bf16 = {1, GemmTileKernel, RoundRowKernel, PackRoundedRowsKernel, PackRoundedColumnsKernel},
    .epilogue = GemmEpilogueKernel,
    .pack_rows = PackRowsKernel,
    .pack_columns = PackColumnsKernel,
    .gemv = GemvKernel,
    .gemv_row_major = GemvRowMajorKernel,
    .transpose = TransposeKernel,
};
