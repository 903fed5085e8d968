// What the dot products of bytes (FEAT_DotProd) add to the kernels of neon.
#include "kernels/kernel_table.h"
#include "kernels/simd/vec_neon_dotprod.h"

namespace heedful::neon_dotprod {
namespace {

constexpr int kGemmRows = 6, kGemmVectors = 4;

#include "kernels/simd/bytes_kernels-inl.h"

}  // namespace

extern const KernelExtension kKernels;
constinit const KernelExtension kKernels = BytesExtension("neon_dotprod");

}  // namespace heedful::neon_dotprod
