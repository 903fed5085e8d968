// The kernels for AVX2 with FMA.
#include "kernels/kernel_table.h"
#include "kernels/simd/vec_avx2.h"

namespace heedful::avx2 {
namespace {

constexpr int kGemmRows = 6, kGemmVectors = 2, kGemmDepth = 384;

#include "kernels/simd/math-inl.h"
#include "kernels/simd/unroll.h"

constexpr ElementwiseKernels kElementwiseKernels = {};

#include "kernels/simd/gemm-inl.h"
#include "kernels/simd/gemm_pack-inl.h"
#include "kernels/simd/gemv-inl.h"

}  // namespace

extern const KernelTable kKernels;
const KernelTable kKernels = {
    .name = "avx2",
    .vector_width = Vec::kLanes,
    .elementwise = kElementwiseKernels,
    .gemm = kGemmKernels,
    .attention = {},
    .rows = {},
    .optimizer = {},
};

}  // namespace heedful::avx2
