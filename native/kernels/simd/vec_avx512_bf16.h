// What AVX-512 BF16 and VNNI add to the Vec of vec_avx512.h: pairs of bfloat16 and fours of bytes in each
// lane.
#pragma once

#include "kernels/simd/vec_avx512.h"

namespace heedful::avx512_bf16 {
using namespace avx512;
namespace {

// sum + the products of the lower and of the upper halves, each rounded to nearest even; denormals are 0.
inline Vec DotBf16(Vec a, Vec b, Vec sum) { return {_mm512_dpbf16_ps(sum.v, (__m512bh)a.v, (__m512bh)b.v)}; }
// 32 floats, `low` before `high`, rounded to nearest even.
inline Vec RoundToBf16(Vec low, Vec high) { return {(__m512)_mm512_cvtne2ps_pbh(high.v, low.v)}; }
}  // namespace
}  // namespace heedful::avx512_bf16
