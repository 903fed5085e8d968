// What AVX-512 VNNI adds to the kernels of avx512.
#include "kernels/kernel_table.h"
#include "kernels/simd/vec_avx512_vnni.h"

namespace heedful::avx512_vnni {
namespace {

constexpr int kGemmRows = 14, kGemmVectors = 2;

#include "kernels/simd/bytes_kernels-inl.h"

}  // namespace

extern const KernelExtension kKernels;
constinit const KernelExtension kKernels = BytesExtension("avx512_vnni");

}  // namespace heedful::avx512_vnni
