// What a Vec needs where the CPU multiplies matrices of two rows (vec_neon_i8mm.h, vec_neon_bf16.h).
#pragma once

#include "kernels/simd/vec_neon.h"

namespace heedful::neon {
namespace {

// a[0], a[1], b[0], b[1].
inline Vec LoadPairs(const float* a, const float* b) { return {vcombine_f32(vld1_f32(a), vld1_f32(b))}; }
// a[0], b[0], a[1], b[1].
inline Vec LoadTransposedPairs(const float* a, const float* b) {
  const float32x2_t x = vld1_f32(a), y = vld1_f32(b);
  return {vcombine_f32(vzip1_f32(x, y), vzip2_f32(x, y))};
}
// a[0], 0, b[0], 0.
inline Vec LoadSingles(const float* a, const float* b) {
  const float32x4_t v = vsetq_lane_f32(*a, vdupq_n_f32(0), 0);
  return {vld1q_lane_f32(b, v, 2)};
}
// The lower or the upper halves of a and b, lane by lane; their even or their odd lanes.
inline Vec ZipLow(Vec a, Vec b) { return {vzip1q_f32(a.v, b.v)}; }
inline Vec ZipHigh(Vec a, Vec b) { return {vzip2q_f32(a.v, b.v)}; }
inline Vec EvenLanes(Vec a, Vec b) { return {vuzp1q_f32(a.v, b.v)}; }
inline Vec OddLanes(Vec a, Vec b) { return {vuzp2q_f32(a.v, b.v)}; }

}  // namespace
}  // namespace heedful::neon
