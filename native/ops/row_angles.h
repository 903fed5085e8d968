// The operand `angles` of what turns rows (rotary embedding), as RotaryAngles makes it: [T, 2n] or [B, T, 2n]
// for rows [B, H, T, D], 2n ≤ D: of each row n cosines, then n sines. Contiguous.
#pragma once

#include <string>
#include <vector>

#include "kernels/reference/rotary.h"
#include "ops/heads.h"

namespace heedful {

// Throws Error of `what` unless these are angles of the rows x.
inline void CheckAngles(const std::string& what, const Operand& angles, const Operand& x) {
  HEEDFUL_CHECK(angles, what + " are missing");
  HEEDFUL_CHECK(angles.dtype == x.dtype, what + " must have the dtype of the rows");
  const bool fits = angles.rank == 2 || (angles.rank == 3 && angles.dims[0] == x.dims[0]);
  HEEDFUL_CHECK(fits && angles.DimFromEnd(1) == x.dims[2],
                what + " must be [length, 2n] or [batch, length, 2n] of the rows " + ShapeText(x) +
                    ", but is " + ShapeText(angles));
  HEEDFUL_CHECK(angles.Contiguous() && angles.DimFromEnd(0) % 2 == 0 && angles.DimFromEnd(0) <= x.dims[3],
                what + " must be contiguous and hold a cosine and a sine for each pair of the rows " +
                    ShapeText(x) + ", but is " + ShapeText(angles));
}

inline int64_t AnglePairs(const Operand& angles) { return angles.DimFromEnd(0) / 2; }

// Of row t of sequence b.
template <class T>
const T* AnglesAt(const Operand& angles, int64_t b, int64_t t) {
  return angles.As<T>() + ((angles.rank == 3 ? b * angles.dims[1] : 0) + t) * angles.DimFromEnd(0);
}

// Of that row and the following ones; none where the operand is absent.
inline RowAngles AnglesFrom(const Operand& angles, int64_t b, int64_t t, bool interleaved) {
  if (!angles) return {nullptr, 0, 0, false};
  return {AnglesAt<float>(angles, b, t), angles.DimFromEnd(0), static_cast<int>(AnglePairs(angles)),
          interleaved};
}

// y = x turned by them, in f64; y may be x.
inline void TurnHeads(const Operand& angles, bool interleaved, bool inverse,
                      const reference::View4<double>& x, const reference::View4<double>& y) {
  for (int64_t b = 0; b < x.dims[0]; ++b) {
    for (int64_t h = 0; h < x.dims[1]; ++h) {
      for (int64_t t = 0; t < x.dims[2]; ++t) {
        reference::Turn(&x(b, h, t, 0), AnglesAt<double>(angles, b, t), AnglePairs(angles), interleaved,
                        inverse, &y(b, h, t, 0), x.dims[3]);
      }
    }
  }
}

}  // namespace heedful
