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
// The two of each lane side by side, `low` in the lower half, rounded to nearest even.
inline Vec JoinBf16(Vec low, Vec high) {
  alignas(64) static constexpr uint16_t kOrder[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                      21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                      11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(high.v, low.v);
  return {_mm512_castsi512_ps(_mm512_permutexvar_epi16(_mm512_load_si512(kOrder), both))};
}

}  // namespace
}  // namespace heedful::avx512_bf16
