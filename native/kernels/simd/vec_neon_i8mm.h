// What the matrix products of bytes of AArch64 (FEAT_I8MM) add to the Vec of vec_neon.h.
#pragma once

#include "kernels/simd/vec_neon_matrix.h"

namespace heedful::neon_i8mm {
using namespace neon;
namespace {

// What DotBytes takes for bytes that hold a number + 128, and what it must take off for each of them.
inline Vec DotOperand(Vec a) { return a; }
constexpr int kDotOffset = 128;
// sum + the four products of signed bytes of a and unsigned ones of b, all of them 32-bit integers.
inline Vec DotBytes(Vec a, Vec b, Vec sum) {
  return {vreinterpretq_f32_s32(
      vusdotq_s32(vreinterpretq_s32_f32(sum.v), ToBytes(b), vreinterpretq_s8_f32(a.v)))};
}
inline Vec DotBytes(Splat a, Vec b, Vec sum) {
  return {vreinterpretq_f32_s32(
      vusdotq_laneq_s32(vreinterpretq_s32_f32(sum.v), ToBytes(b), vreinterpretq_s8_f32(a.v), 0))};
}
// Halves of `columns` and `rows` are two of each, eight bytes of k, unsigned and signed. Lane 2·c + r: sum +
// Σ columns[c, k] · rows[r, k], all of them 32-bit integers.
inline Vec MatrixBytes(Vec columns, Vec rows, Vec sum) {
  return {vreinterpretq_f32_s32(
      vusmmlaq_s32(vreinterpretq_s32_f32(sum.v), ToBytes(columns), vreinterpretq_s8_f32(rows.v)))};
}

}  // namespace
}  // namespace heedful::neon_i8mm
