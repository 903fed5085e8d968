// cache[b, h, position + t, d] = x[b, h, t, d], with general strides.
#pragma once

#include <cstdint>

#include "kernels/reference/view.h"

namespace heedful::reference {

template <class T>
void CacheWrite(const View4<T>& x, int64_t position, const View4<T>& cache) {
  for (int64_t b = 0; b < x.dims[0]; ++b) {
    for (int64_t h = 0; h < x.dims[1]; ++h) {
      for (int64_t t = 0; t < x.dims[2]; ++t) {
        for (int64_t d = 0; d < x.dims[3]; ++d) cache(b, h, position + t, d) = x(b, h, t, d);
      }
    }
  }
}

}  // namespace heedful::reference
