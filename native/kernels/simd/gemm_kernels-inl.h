// The kernels of the matrix product as a table.

void GemmTileKernel(const GemmTile& tile) {
  tile.a_k == 1 ? NarrowTileKernel<WordsKernel<F32Words>>(tile)
                : NarrowTileKernel<WordsKernel<F32Words, true>>(tile);
}

constexpr GemmKernels kGemmKernels = {
    .mr = kGemmRows,
    .nr = kGemmColumns,
    .kc = kGemmDepth,
    .in_place_rows = kGemmInPlaceRows,
    .gemv_rows = kGemvRows,
    .tile = GemmTileKernel,
    .panels = {kWordsPanel<F32Words>, kWordsPanel<Bf16Words>, kWordsPanel<F16Words>,
               kIntegerPanel<Int8Blocks, Shorts>, kIntegerPanel<Q8Blocks, Shorts>,
               kIntegerPanel<Q4Blocks, Shorts>},
    .epilogue = GemmEpilogueKernel,
    .pack_rows = PackRowsKernel,
    .pack_columns = PackColumnsKernel,
    .gemv = GemvKernel,
    .transpose = TransposeKernel,
};
