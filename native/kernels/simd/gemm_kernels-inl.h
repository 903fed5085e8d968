// The kernels of the matrix product as a table.

void GemmTileKernel(const GemmTile& tile) {
  tile.a_k == 1 ? WordsTileKernel<F32Words>(tile) : WordsTileKernel<F32Words, true>(tile);
}

constexpr GemmKernels kGemmKernels = {
    .mr = kGemmRows,
    .nr = kGemmColumns,
    .kc = kGemmDepth,
    .in_place_rows = kGemmInPlaceRows,
    .gemv_rows = kGemvRows,
    .tile = GemmTileKernel,
    .panels = {{F32Words::kRows, 1, kGemmPanelRows, PanelTileKernel<F32Words>, nullptr},
               {Bf16Words::kRows, 2, kGemmPanelRows, PanelTileKernel<Bf16Words>, nullptr}},
    .epilogue = GemmEpilogueKernel,
    .pack_rows = PackRowsKernel,
    .pack_columns = PackColumnsKernel,
    .gemv = GemvKernel,
    .transpose = TransposeKernel,
};
