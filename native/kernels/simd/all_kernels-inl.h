// Every kernel, and the table of a whole instruction set. Included inside its anonymous namespace, after its
// Vec and these numbers:
//   kGemmRows, kGemmVectors, kGemmDepth, kGemmInPlaceRows, kGemvRows   gemm-inl.h
//   kPackVectors                                                       pack-inl.h

#include "kernels/simd/unroll.h"
#include "kernels/simd/pack-inl.h"
#include "kernels/simd/math-inl.h"
#include "kernels/simd/lanes-inl.h"
#include "kernels/simd/functions-inl.h"
#include "kernels/simd/random-inl.h"
#include "kernels/simd/elementwise-inl.h"
#include "kernels/simd/softmax-inl.h"
#include "kernels/simd/norm-inl.h"
#include "kernels/simd/loss-inl.h"
#include "kernels/simd/reduce-inl.h"
#include "kernels/simd/rows-inl.h"
#include "kernels/simd/sample-inl.h"
#include "kernels/simd/optimizer-inl.h"

#include "kernels/simd/compute_peak-inl.h"
#include "kernels/simd/gemm-inl.h"
#include "kernels/simd/gemm_integer-inl.h"
#include "kernels/simd/gemm_epilogue-inl.h"
#include "kernels/simd/gemm_pack-inl.h"
#include "kernels/simd/gemv-inl.h"
#include "kernels/simd/gemm_kernels-inl.h"
#include "kernels/simd/rotary-inl.h"
#include "kernels/simd/attention-inl.h"
#include "kernels/simd/attention_kernels-inl.h"
#include "kernels/simd/cached_attention-inl.h"
#include "kernels/simd/peak-inl.h"

constexpr KernelTable MakeKernelTable(const char* name) {
  return {
      .name = name,
      .vector_width = Vec::kLanes,
      .elementwise = kElementwiseKernels,
      .gemm = kGemmKernels,
      .attention = kAttentionKernels,
      .cached_attention = kCachedAttentionKernels,
      .rows = kRowKernels,
      .sampling = kSamplingKernels,
      .optimizer = kOptimizerKernels,
      .peak = kPeakKernels,
  };
}
