// What AVX-VNNI adds to the kernels of avx2.
#include "kernels/kernel_table.h"
#include "kernels/simd/vec_avx_vnni.h"

namespace heedful::avx_vnni {
namespace {

constexpr int kGemmRows = 6, kGemmVectors = 2;

#include "kernels/simd/unroll.h"
#include "kernels/simd/compute_peak-inl.h"
#include "kernels/simd/gemm-inl.h"
#include "kernels/simd/gemm_integer-inl.h"
#include "kernels/simd/gemm_bytes-inl.h"

}  // namespace

extern const KernelExtension kKernels;
const KernelExtension kKernels = {
    .name = "avx_vnni",
    .panels = {{},
               {},
               {},
               kIntegerPanel<Int8Blocks, Bytes>,
               kIntegerPanel<Q8Blocks, Bytes>,
               kIntegerPanel<Q4Blocks, Bytes>},
    .f32 = {},
    .bf16 = {},
    .int8 = kComputePeak<Bytes>,
};

}  // namespace heedful::avx_vnni
