// A tensor of rank 4 with general strides, as the references of attention, rotation and cache see it.
#pragma once

#include <cstdint>

namespace heedful::reference {

template <class T>
struct View4 {
  T* data;
  int64_t dims[4];
  int64_t strides[4];  // in elements

  T& operator()(int64_t b, int64_t h, int64_t t, int64_t d) const {
    return data[b * strides[0] + h * strides[1] + t * strides[2] + d * strides[3]];
  }
};

// y = x, of one shape.
template <class T>
void CopyHeads(const View4<T>& x, const View4<T>& y) {
  for (int64_t b = 0; b < x.dims[0]; ++b) {
    for (int64_t h = 0; h < x.dims[1]; ++h) {
      for (int64_t t = 0; t < x.dims[2]; ++t) {
        for (int64_t d = 0; d < x.dims[3]; ++d) y(b, h, t, d) = x(b, h, t, d);
      }
    }
  }
}

}  // namespace heedful::reference
