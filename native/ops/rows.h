// Operands seen as rows: the last dimension contiguous, the others with any strides.
#pragma once

#include "ops/instruction.h"

namespace heedful {

// Operand::Rows() also for rows of no elements.
inline int64_t RowCount(const Operand& x) {
  int64_t n = 1;
  for (int d = 0; d + 1 < x.rank; ++d) n *= x.dims[d];
  return n;
}

// Where row r begins, rows counted in row-major order of the outer dimensions.
template <class T = float>
class RowPointers {
 public:
  RowPointers() = default;  // of an absent operand
  explicit RowPointers(const Operand& x) {
    if (!x.present) return;
    data_ = x.As<T>();
    for (int d = 0; d + 1 < x.rank; ++d) {
      if (x.dims[d] == 1) continue;
      if (rank_ > 0 && strides_[rank_ - 1] == x.strides[d] * x.dims[d]) {
        dims_[rank_ - 1] *= x.dims[d];
        strides_[rank_ - 1] = x.strides[d];
      } else {
        dims_[rank_] = x.dims[d];
        strides_[rank_++] = x.strides[d];
      }
    }
  }

  // nullptr when the operand is absent.
  T* operator[](int64_t row) const {
    if (!data_) return nullptr;
    if (rank_ <= 1) return data_ + row * strides_[0];
    int64_t offset = 0;
    for (int d = rank_ - 1; d >= 0; --d) {
      offset += row % dims_[d] * strides_[d];
      row /= dims_[d];
    }
    return data_ + offset;
  }

 private:
  T* data_ = nullptr;
  int rank_ = 0;
  int64_t dims_[kMaxRank] = {}, strides_[kMaxRank] = {};
};

}  // namespace heedful
