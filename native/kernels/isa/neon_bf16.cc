// What the products of bfloat16 (FEAT_BF16) add to the kernels of neon and neon_i8mm.
#include "kernels/kernel_table.h"
#include "kernels/simd/vec_neon_bf16.h"

namespace heedful::neon_bf16 {
namespace {

constexpr int kGemmRows = 6, kGemmVectors = 4, kPackVectors = 4;

#include "kernels/simd/bf16_kernels-inl.h"
#include "kernels/simd/gemm_matrix-inl.h"
#include "kernels/simd/gemm_bf16_matrix-inl.h"

}  // namespace

extern const KernelExtension kKernels;
constinit const KernelExtension kKernels = Bf16Extension<MatrixPairsKernel, Bf16Matrices>("neon_bf16");

}  // namespace heedful::neon_bf16
