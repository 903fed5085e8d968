// Rotary embedding from the formula: the angles of a row and the rotation by them.
//   angle = position · frequencies[i];  pair i is (i, i + pairs), or (2i, 2i + 1) when interleaved;
//   (y0, y1) = scale · (x0 · cos − x1 · sin, x1 · cos + x0 · sin);  inverse: −angle. Elements outside of
//   pairs are copied.
#pragma once

#include <cmath>
#include <cstdint>

namespace heedful::reference {

// angles[i] = scale · cos, angles[pairs + i] = scale · sin.
template <class T>
void RotaryAngles(double position, const T* frequencies, int64_t pairs, double scale, T* angles) {
  for (int64_t i = 0; i < pairs; ++i) {
    const double angle = position * double(frequencies[i]);
    angles[i] = static_cast<T>(scale * std::cos(angle));
    angles[pairs + i] = static_cast<T>(scale * std::sin(angle));
  }
}

// y may be x.
template <class T>
void Turn(const T* x, const T* angles, int64_t pairs, bool interleaved, bool inverse, T* y, int64_t dim) {
  for (int64_t i = 0; i < pairs; ++i) {
    const int64_t first = interleaved ? 2 * i : i, second = interleaved ? 2 * i + 1 : i + pairs;
    const double x0 = x[first], x1 = x[second], c = angles[i],
                 s = inverse ? -angles[pairs + i] : angles[pairs + i];
    y[first] = static_cast<T>(x0 * c - x1 * s);
    y[second] = static_cast<T>(x1 * c + x0 * s);
  }
  for (int64_t d = 2 * pairs; d < dim; ++d) y[d] = x[d];
}

}  // namespace heedful::reference
