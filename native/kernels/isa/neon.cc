// The kernels for AArch64 Advanced SIMD.
#include "kernels/kernel_table.h"
#include "kernels/random.h"
#include "kernels/simd/vec_neon.h"

namespace heedful::neon {
namespace {

constexpr int kGemmRows = 6, kGemmVectors = 4, kGemmDepth = 384;
constexpr int kGemmInPlaceRows = 24, kGemvRows = 8;
constexpr int kPackVectors = 4;

#include "kernels/simd/all_kernels-inl.h"

}  // namespace

extern const KernelTable kKernels;
constinit const KernelTable kKernels = MakeKernelTable("neon");

}  // namespace heedful::neon
