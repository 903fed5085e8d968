// The kernels for AArch64 Advanced SIMD.
#include "kernels/kernel_table.h"
#include "kernels/simd/vec_neon.h"

namespace heedful::neon {
namespace {

constexpr int kGemmRows = 8, kGemmVectors = 2, kGemmDepth = 384;

#include "kernels/simd/math-inl.h"
#include "kernels/simd/unroll.h"

constexpr ElementwiseKernels kElementwiseKernels = {};

#include "kernels/simd/gemm-inl.h"
#include "kernels/simd/gemm_pack-inl.h"
#include "kernels/simd/gemv-inl.h"

}  // namespace

extern const KernelTable kKernels;
const KernelTable kKernels = {
    .name = "neon",
    .vector_width = Vec::kLanes,
    .elementwise = kElementwiseKernels,
    .gemm = kGemmKernels,
    .attention = {},
    .rows = {},
    .optimizer = {},
};

}  // namespace heedful::neon
