// What AVX-512 BF16 adds to the kernels of avx512.
#include "kernels/kernel_table.h"
#include "kernels/simd/vec_avx512_bf16.h"

namespace heedful::avx512_bf16 {
namespace {

constexpr int kGemmRows = 14, kGemmVectors = 2;

#include "kernels/simd/unroll.h"
#include "kernels/simd/gemm-inl.h"
#include "kernels/simd/gemm_bf16-inl.h"

}  // namespace

extern const PanelKernels kKernels;
const PanelKernels kKernels = {
    .mr = Bf16Pairs::kRows,
    .row_floats = 1,
    .panel_rows = kGemmPanelRows,
    .tile = PanelTileKernel<Bf16Pairs>,
    .convert = ConvertRowKernel,
};

}  // namespace heedful::avx512_bf16
