// What the losses over classes share: their attributes and targets.
#pragma once

#include <cmath>
#include <string>

#include "kernels/reference/loss.h"
#include "ops/operands.h"

namespace heedful {

struct LossSettings {
  int64_t ignore_index;
  double smoothing;
  reference::LossReduction reduction;
  explicit LossSettings(const Instruction& in)
      : ignore_index(static_cast<int64_t>(in.attributes[0])),
        smoothing(in.attributes[1]),
        reduction(static_cast<reference::LossReduction>(in.attributes[2])) {}
};

inline void CheckLossSettings(const OperandCheck& check, const Instruction& in) {
  const double ignore = in.attributes[0], smoothing = in.attributes[1];
  check.Require(ignore >= INT32_MIN && ignore <= INT32_MAX && ignore == std::floor(ignore),
                "ignoreIndex must be a 32-bit integer, not " + std::to_string(ignore));
  check.Require(smoothing >= 0 && smoothing <= 1,
                "smoothing must be between 0 and 1, not " + std::to_string(smoothing));
  check.Choice("reduction", in.attributes[2], static_cast<int>(reference::LossReduction::kCount));
}

// Returns how many targets are not ignored; throws when one of these is not a class.
inline int64_t CheckTargets(const char* op, const Operand& targets, int64_t classes, int64_t ignore_index) {
  const int32_t* t = targets.As<int32_t>();
  int64_t count = 0;
  for (int64_t i = 0; i < targets.dims[0]; ++i) {
    if (t[i] == ignore_index) continue;
    HEEDFUL_CHECK(t[i] >= 0 && t[i] < classes,
                  std::string(op) + ": target " + std::to_string(t[i]) + " at position " + std::to_string(i) +
                      " is not a class: expected 0 to " + std::to_string(classes - 1) + ", or ignoreIndex " +
                      std::to_string(ignore_index));
    ++count;
  }
  return count;
}

}  // namespace heedful
