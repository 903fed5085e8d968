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

}  // namespace heedful::reference
