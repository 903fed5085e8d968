// The kernels for AVX2 with FMA.
#include "kernels/kernel_table.h"
#include "kernels/random.h"
#include "kernels/simd/vec_avx2.h"

namespace heedful::avx2 {
namespace {

constexpr int kGemmRows = 6, kGemmVectors = 2, kGemmDepth = 384;
constexpr int kGemmInPlaceRows = 18, kGemvRows = 8;
constexpr int kPackVectors = 4;

#include "kernels/simd/all_kernels-inl.h"

}  // namespace

extern const KernelTable kKernels;
constinit const KernelTable kKernels = MakeKernelTable("avx2");

}  // namespace heedful::avx2
