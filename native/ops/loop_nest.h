// The loops of several strided operands over one index space, with as few dimensions as the strides allow.
#pragma once

#include <algorithm>
#include <utility>

#include "ops/instruction.h"

namespace heedful {

enum class LoopOrder {
  kRowMajor,  // positions count elements in row-major order
  kMemory,    // dimensions sorted by the strides of the first operand, the smallest innermost
};

// Operand 0 gives the index space; the others are aligned with it at the last dimension, and a dimension of
// size 1 of theirs is broadcast.
template <int kOperands>
struct LoopNest {
  int rank = 0;  // at least 1
  int64_t dims[kMaxRank] = {};
  int64_t strides[kOperands][kMaxRank] = {};

  LoopNest(const Operand* const (&operands)[kOperands], LoopOrder order) {
    const Operand& space = *operands[0];
    for (int d = 0; d < space.rank; ++d) {
      if (space.dims[d] == 1) continue;
      dims[rank] = space.dims[d];
      const int from_end = space.rank - 1 - d;
      for (int k = 0; k < kOperands; ++k) {
        strides[k][rank] = operands[k]->DimFromEnd(from_end) == 1 ? 0 : operands[k]->StrideFromEnd(from_end);
      }
      ++rank;
    }
    if (order == LoopOrder::kMemory) Sort();
    Merge();
    if (rank == 0) dims[rank++] = 1;
  }

  // The dimensions d of which keep(d) holds.
  template <class Keep>
  LoopNest Only(Keep&& keep) const {
    LoopNest nest;
    for (int d = 0; d < rank; ++d) {
      if (!keep(d)) continue;
      nest.dims[nest.rank] = dims[d];
      for (int k = 0; k < kOperands; ++k) nest.strides[k][nest.rank] = strides[k][d];
      ++nest.rank;
    }
    if (nest.rank == 0) nest.dims[nest.rank++] = 1;
    return nest;
  }

  int64_t Size() const {
    int64_t n = 1;
    for (int d = 0; d < rank; ++d) n *= dims[d];
    return n;
  }
  int64_t Inner() const { return dims[rank - 1]; }
  int64_t InnerStride(int k) const { return strides[k][rank - 1]; }

  // fn(offsets, n, position): elements [begin, end) as runs of n along the innermost dimension, operand k
  // starting at offsets[k], the first being element number `position`.
  template <class F>
  void ForRuns(int64_t begin, int64_t end, F&& fn) const {
    int64_t index[kMaxRank], offsets[kOperands] = {}, rest = begin;
    for (int d = rank - 1; d >= 0; --d) {
      index[d] = rest % dims[d];
      rest /= dims[d];
      for (int k = 0; k < kOperands; ++k) offsets[k] += index[d] * strides[k][d];
    }
    const int last = rank - 1;
    while (begin < end) {
      const int64_t n = std::min(end - begin, dims[last] - index[last]);
      fn(offsets, n, begin);
      begin += n;
      index[last] += n;
      for (int k = 0; k < kOperands; ++k) offsets[k] += n * strides[k][last];
      for (int d = last; d > 0 && index[d] == dims[d]; --d) {
        index[d] = 0;
        ++index[d - 1];
        for (int k = 0; k < kOperands; ++k) offsets[k] += strides[k][d - 1] - dims[d] * strides[k][d];
      }
    }
  }

 private:
  LoopNest() = default;

  void Sort() {
    const auto swap = [&](int a, int b) {
      std::swap(dims[a], dims[b]);
      for (int k = 0; k < kOperands; ++k) std::swap(strides[k][a], strides[k][b]);
    };
    // Broadcast dimensions go outermost. Insertion, since equal strides keep their order.
    const auto outside = [&](int a, int b) {
      return strides[0][b] != 0 && (strides[0][a] == 0 || strides[0][a] > strides[0][b]);
    };
    for (int i = 1; i < rank; ++i) {
      for (int d = i; d > 0 && outside(d, d - 1); --d) swap(d, d - 1);
    }
  }

  // Two dimensions are one where every operand steps over the inner one's end into the next of the outer one.
  void Merge() {
    int out = 0;
    for (int d = 1; d < rank; ++d) {
      bool merges = true;
      for (int k = 0; k < kOperands; ++k) merges = merges && strides[k][out] == strides[k][d] * dims[d];
      if (merges) {
        dims[out] *= dims[d];
      } else {
        dims[++out] = dims[d];
      }
      for (int k = 0; k < kOperands; ++k) strides[k][out] = strides[k][d];
    }
    if (rank > 0) rank = out + 1;
  }
};

}  // namespace heedful
