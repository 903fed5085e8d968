// What AVX-512 BF16 adds to the kernels of avx512 and avx512_vnni.
#include "kernels/kernel_table.h"
#include "kernels/simd/vec_avx512_bf16.h"

namespace heedful::avx512_bf16 {
namespace {

constexpr int kGemmRows = 14, kGemmVectors = 2, kPackVectors = 6;

#include "kernels/simd/unroll.h"
#include "kernels/simd/pack-inl.h"
#include "kernels/simd/math-inl.h"
#include "kernels/simd/lanes-inl.h"
#include "kernels/simd/gemm-inl.h"
#include "kernels/simd/gemm_bf16-inl.h"
#include "kernels/simd/rotary-inl.h"
#include "kernels/simd/attention-inl.h"
#include "kernels/simd/attention_bf16-inl.h"
#include "kernels/simd/compute_peak-inl.h"

}  // namespace

extern const KernelExtension kKernels;
constinit const KernelExtension kKernels = {
    .name = "avx512_bf16",
    .panels = {{}, kBf16PairKernels},
    .products = kBf16PairProducts,
    .attention = kAttentionProducts<PairFormat>,
    .bf16 = kComputePeak<Bf16Pairs>,
};

}  // namespace heedful::avx512_bf16
