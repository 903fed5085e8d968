// What AVX-512 VNNI adds to the kernels of avx512.
#include "kernels/kernel_table.h"
#include "kernels/simd/vec_avx512_vnni.h"

namespace heedful::avx512_vnni {
namespace {

constexpr int kGemmRows = 14, kGemmVectors = 2;

#include "kernels/simd/unroll.h"
#include "kernels/simd/compute_peak-inl.h"
#include "kernels/simd/gemm-inl.h"
#include "kernels/simd/gemm_integer-inl.h"
#include "kernels/simd/gemm_bytes-inl.h"

}  // namespace

extern const KernelExtension kKernels;
const KernelExtension kKernels = {
    .name = "avx512_vnni",
    .panels = {{},
               {},
               {},
               kIntegerPanel<Int8Blocks, Bytes>,
               kIntegerPanel<Q8Blocks, Bytes>,
               kIntegerPanel<Q4Blocks, Bytes>},
    .products = {},
    .attention = {},
    .f32 = {},
    .bf16 = {},
    .int8 = kComputePeak<Bytes>,
};

}  // namespace heedful::avx512_vnni
