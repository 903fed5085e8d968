// What AVX-512 VNNI adds to the Vec of vec_avx512.h: fours of bytes in each lane.
#pragma once

#include "kernels/simd/vec_avx512.h"

namespace heedful::avx512_vnni {
using namespace avx512;
namespace {

// What DotBytes takes for bytes that hold a number + 128, and what it must take off for each of them.
inline Vec DotOperand(Vec a) { return a; }
constexpr int kDotOffset = 128;
// sum + the four products of signed bytes of a and unsigned ones of b, all of them 32-bit integers.
inline Vec DotBytes(Vec a, Vec b, Vec sum) {
  return FromInts(_mm512_dpbusd_epi32(ToInts(sum), ToInts(b), ToInts(a)));
}

}  // namespace
}  // namespace heedful::avx512_vnni
