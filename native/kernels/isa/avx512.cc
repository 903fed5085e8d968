// The kernels for AVX-512 F, BW, DQ, VL.
#include "kernels/kernel_table.h"
#include "kernels/simd/vec_avx512.h"

namespace heedful::avx512 {
namespace {

constexpr int kGemmRows = 14, kGemmVectors = 2, kGemmDepth = 768;

#include "kernels/simd/math-inl.h"
#include "kernels/simd/unroll.h"

constexpr ElementwiseKernels kElementwiseKernels = {};

#include "kernels/simd/gemm-inl.h"
#include "kernels/simd/gemm_pack-inl.h"
#include "kernels/simd/gemv-inl.h"

}  // namespace

extern const KernelTable kKernels;
const KernelTable kKernels = {
    .name = "avx512",
    .vector_width = Vec::kLanes,
    .elementwise = kElementwiseKernels,
    .gemm = kGemmKernels,
    .attention = {},
    .rows = {},
    .optimizer = {},
};

}  // namespace heedful::avx512
