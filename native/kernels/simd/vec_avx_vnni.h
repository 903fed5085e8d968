// What AVX-VNNI adds to the Vec of vec_avx2.h: fours of bytes in each lane.
#pragma once

#include "kernels/simd/vec_avx2.h"

namespace heedful::avx_vnni {
using namespace avx2;
namespace {

// What DotBytes takes for bytes that hold a number + 128, and what it must take off for each of them.
inline Vec DotOperand(Vec a) { return a; }
constexpr int kDotOffset = 128;
// sum + the four products of signed bytes of a and unsigned ones of b, all of them 32-bit integers.
inline Vec DotBytes(Vec a, Vec b, Vec sum) {
  return FromInts(_mm256_dpbusd_avx_epi32(ToInts(sum), ToInts(b), ToInts(a)));
}
// Whole numbers, as bytes.
inline void StoreBytes(float* p, Vec a) {
  const __m256i x = _mm256_cvtps_epi32(a.v);
  const __m128i shorts = _mm_packs_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(shorts, shorts));
}

}  // namespace
}  // namespace heedful::avx_vnni
