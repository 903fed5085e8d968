// What AVX-VNNI adds to the kernels of avx2.
#include "kernels/kernel_table.h"
#include "kernels/simd/vec_avx_vnni.h"

namespace heedful::avx_vnni {
namespace {

constexpr int kGemmRows = 6, kGemmVectors = 2;

#include "kernels/simd/bytes_kernels-inl.h"

}  // namespace

extern const KernelExtension kKernels;
constinit const KernelExtension kKernels = BytesExtension("avx_vnni");

}  // namespace heedful::avx_vnni
