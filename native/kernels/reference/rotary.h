// Rotary embedding from the formula, with general strides:
//   angle = position(b, t) · frequencies[i];  pair i is (i, i + pairs), or (2i, 2i + 1) when interleaved;
//   (y0, y1) = scale · (x0 · cos − x1 · sin, x1 · cos + x0 · sin);  inverse: −angle. Elements outside of
//   pairs are copied.
// y may be x.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/reference/view.h"

namespace heedful::reference {

template <class T, class Position, class Frequency>
void Rotary(const View4<T>& x, Position&& position, Frequency&& frequency, int64_t pairs, const View4<T>& y,
            bool interleaved, bool inverse, double scale) {
  for (int64_t b = 0; b < x.dims[0]; ++b) {
    for (int64_t h = 0; h < x.dims[1]; ++h) {
      for (int64_t t = 0; t < x.dims[2]; ++t) {
        for (int64_t i = 0; i < pairs; ++i) {
          const int64_t first = interleaved ? 2 * i : i, second = interleaved ? 2 * i + 1 : i + pairs;
          const double angle = (inverse ? -1.0 : 1.0) * double(position(b, t)) * double(frequency(i));
          const double x0 = x(b, h, t, first), x1 = x(b, h, t, second);
          y(b, h, t, first) = static_cast<T>(scale * (x0 * std::cos(angle) - x1 * std::sin(angle)));
          y(b, h, t, second) = static_cast<T>(scale * (x1 * std::cos(angle) + x0 * std::sin(angle)));
        }
        for (int64_t d = 2 * pairs; d < x.dims[3]; ++d) y(b, h, t, d) = x(b, h, t, d);
      }
    }
  }
}

}  // namespace heedful::reference
