// What an instruction set with products of bytes needs. Included inside its anonymous namespace, after its
// Vec, kGemmRows and kGemmVectors.

#include "kernels/simd/unroll.h"
#include "kernels/simd/compute_peak-inl.h"
#include "kernels/simd/gemm-inl.h"
#include "kernels/simd/gemm_integer-inl.h"
#include "kernels/simd/gemm_bytes-inl.h"
