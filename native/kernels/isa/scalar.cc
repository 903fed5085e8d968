// The kernels in plain C++ for the baseline of the architecture.
#include "kernels/kernel_table.h"
#include "kernels/random.h"
#include "kernels/simd/vec_scalar.h"

namespace heedful::scalar {
namespace {

constexpr int kGemmRows = 4, kGemmVectors = 2, kGemmDepth = 256;
constexpr int kGemmInPlaceRows = 12, kGemvRows = 8;
constexpr int kPackVectors = 2;

#include "kernels/simd/all_kernels-inl.h"

}  // namespace

extern const KernelTable kKernels;
constinit const KernelTable kKernels = MakeKernelTable("scalar");

}  // namespace heedful::scalar
