// What AVX-512 BF16 adds to the kernels of avx512 and avx512_vnni.
#include "kernels/kernel_table.h"
#include "kernels/simd/vec_avx512_bf16.h"

namespace heedful::avx512_bf16 {
namespace {

constexpr int kGemmRows = 14, kGemmVectors = 2, kPackVectors = 6;

#include "kernels/simd/bf16_kernels-inl.h"

}  // namespace

extern const KernelExtension kKernels;
constinit const KernelExtension kKernels = Bf16Extension<PairsKernel, Bf16Pairs>("avx512_bf16");

}  // namespace heedful::avx512_bf16
