// Memory that a matrix product will read, as its tiles ask for it (GemmPrefetch).
#pragma once

#include <algorithm>

#include "kernels/kernel_table.h"

namespace heedful {

constexpr int kLineShift = 6;  // a step of a cache line is 2^kLineShift bytes

// A part of a matrix: `runs` rows of `floats` consecutive elements. In steps of 2^shift bytes:
struct MatrixRegion {
  const float* at;
  int64_t runs, floats, stride;

  int64_t Run(int shift) const { return ((floats * kFloatBytes - 1) >> shift) + 1; }
  int64_t Steps(int shift) const { return runs * Run(shift); }
  GemmPrefetch Walk(int shift) const {
    const int64_t run = Run(shift), step = int64_t{1} << shift;
    return {reinterpret_cast<const char*>(at), step, run, run, stride * kFloatBytes - run * step, runs * run};
  }
  static constexpr int64_t kFloatBytes = sizeof(float);
};

// The next `steps` of what is wanted, all at once.
inline void Ask(GemmPrefetch& wanted, int64_t steps) {
  steps = std::min(steps, wanted.total);
  wanted.total -= steps;
  for (; steps > 0; --steps) {
    __builtin_prefetch(wanted.at);
    wanted.at += wanted.step;
    if (--wanted.left == 0) {
      wanted.at += wanted.jump;
      wanted.left = wanted.run;
    }
  }
}

}  // namespace heedful
