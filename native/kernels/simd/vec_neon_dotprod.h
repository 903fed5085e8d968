// What the dot products of AArch64 (FEAT_DotProd) add to the Vec of vec_neon.h: fours of bytes in each lane.
#pragma once

#include "kernels/simd/vec_neon.h"

namespace heedful::neon_dotprod {
using namespace neon;
namespace {

// What DotBytes takes for bytes that hold a number + 128, and what it must take off for each of them.
inline Vec DotOperand(Vec a) { return FromBytes(veorq_u8(ToBytes(a), vdupq_n_u8(128))); }
constexpr int kDotOffset = 0;
// sum + the four products of signed bytes of a and of b, all of them 32-bit integers.
inline Vec DotBytes(Vec a, Vec b, Vec sum) {
  return {vreinterpretq_f32_s32(
      vdotq_s32(vreinterpretq_s32_f32(sum.v), vreinterpretq_s8_f32(b.v), vreinterpretq_s8_f32(a.v)))};
}
inline Vec DotBytes(Splat a, Vec b, Vec sum) {
  return {vreinterpretq_f32_s32(vdotq_laneq_s32(vreinterpretq_s32_f32(sum.v), vreinterpretq_s8_f32(b.v),
                                                vreinterpretq_s8_f32(a.v), 0))};
}

}  // namespace
}  // namespace heedful::neon_dotprod
