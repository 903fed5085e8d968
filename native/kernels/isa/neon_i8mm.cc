// What the matrix products of bytes (FEAT_I8MM) add to the kernels of neon.
#include "kernels/kernel_table.h"
#include "kernels/simd/vec_neon_i8mm.h"

namespace heedful::neon_i8mm {
namespace {

// Six pairs of rows by four of columns.
constexpr int kGemmRows = 12, kGemmVectors = 2;

#include "kernels/simd/bytes_kernels-inl.h"
#include "kernels/simd/gemm_matrix-inl.h"
#include "kernels/simd/gemm_integer_matrix-inl.h"

}  // namespace

extern const KernelExtension kKernels;
constinit const KernelExtension kKernels = ByteMatrixExtension("neon_i8mm");

}  // namespace heedful::neon_i8mm
