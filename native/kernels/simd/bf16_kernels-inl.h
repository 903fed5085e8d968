// What an instruction set with products of pairs of bfloat16 needs. Included inside its anonymous namespace,
// after its Vec, kGemmRows, kGemmVectors and kPackVectors, which are those of the instruction set that it
// adds to.

#include "kernels/simd/unroll.h"
#include "kernels/simd/pack-inl.h"
#include "kernels/simd/math-inl.h"
#include "kernels/simd/lanes-inl.h"
#include "kernels/simd/compute_peak-inl.h"
#include "kernels/simd/gemm-inl.h"
#include "kernels/simd/gemm_bf16-inl.h"
#include "kernels/simd/rotary-inl.h"
#include "kernels/simd/attention-inl.h"
#include "kernels/simd/attention_bf16-inl.h"
