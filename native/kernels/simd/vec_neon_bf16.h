// What the products of bfloat16 of AArch64 (FEAT_BF16) add to the Vec of vec_neon.h: pairs in each lane.
// Products and sums are rounded to odd, and denormals are 0.
#pragma once

#include "kernels/simd/vec_neon_matrix.h"

namespace heedful::neon_bf16 {
using namespace neon;
namespace {

inline bfloat16x8_t ToPairs(Vec a) { return vreinterpretq_bf16_f32(a.v); }
// sum + (the product of the lower halves + that of the upper halves).
inline Vec DotBf16(Splat a, Vec b, Vec sum) {
  return {vbfdotq_laneq_f32(sum.v, ToPairs(b), vreinterpretq_bf16_f32(a.v), 0)};
}
// Halves of `columns` and `rows` are two of each, four bfloat16 of k. Lane 2·c + r: sum + Σ columns[c, k] ·
// rows[r, k], as by DotBf16 of the first two of k and then of the others: the same bits.
inline Vec MatrixBf16(Vec columns, Vec rows, Vec sum) {
  return {vbfmmlaq_f32(sum.v, ToPairs(columns), ToPairs(rows))};
}
// Eight floats, `low` before `high`, rounded to nearest even.
inline Vec RoundToBf16(Vec low, Vec high) {
  return {vreinterpretq_f32_bf16(vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(low.v), high.v))};
}
// The two of each lane side by side, `low` in the lower half, rounded to nearest even.
inline Vec JoinBf16(Vec low, Vec high) {
  const uint16x8_t both = vreinterpretq_u16_f32(RoundToBf16(low, high).v);
  return {vreinterpretq_f32_u16(vzip1q_u16(both, vextq_u16(both, both, 4)))};
}

}  // namespace
}  // namespace heedful::neon_bf16
