// The kernels for AVX-512 F, BW, DQ, VL.
#include "kernels/kernel_table.h"
#include "kernels/random.h"
#include "kernels/simd/vec_avx512.h"

namespace heedful::avx512 {
namespace {

constexpr int kGemmRows = 14, kGemmVectors = 2, kGemmDepth = 768;
constexpr int kGemmInPlaceRows = 168, kGemvRows = 16;
constexpr int kPackVectors = 6;

#include "kernels/simd/all_kernels-inl.h"

}  // namespace

extern const KernelTable kKernels;
constinit const KernelTable kKernels = MakeKernelTable("avx512");

}  // namespace heedful::avx512
