// Elementwise kernels over operands of any strides.
#pragma once

#include "ops/chunks.h"
#include "ops/loop_nest.h"

namespace heedful {

template <class T>
void Gather(const T* p, int64_t stride, T* buffer, int64_t n) {
  for (int64_t i = 0; i < n; ++i) buffer[i] = p[i * stride];
}
template <class T>
void Scatter(const T* buffer, T* p, int64_t stride, int64_t n) {
  for (int64_t i = 0; i < n; ++i) p[i * stride] = buffer[i];
}

// kernel(p, steps, n, position) on runs where every p[k] is contiguous (steps[k] = 1) or, for inputs when
// `kBroadcast`, one value (steps[k] = 0). Other operands go through a buffer of kStridedBlock elements, which
// is written back before the next is read: an output may be an input with the same data and strides.
// operands: kOutputs outputs, then inputs. The first output gives the index space.
constexpr int64_t kStridedBlock = 256;

template <int kOutputs, bool kBroadcast, int kOperands, class F>
void MapRun(const LoopNest<kOperands>& nest, const Operand* const (&operands)[kOperands], int64_t begin,
            int64_t end, F&& kernel) {
  bool direct[kOperands], all_direct = true;
  int64_t steps[kOperands];
  for (int k = 0; k < kOperands; ++k) {
    const bool one_value = kBroadcast && k >= kOutputs && nest.InnerStride(k) == 0;
    direct[k] = one_value || nest.InnerStride(k) == 1 || nest.Inner() == 1;
    steps[k] = one_value ? 0 : 1;
    all_direct = all_direct && direct[k];
  }
  nest.ForRuns(begin, end, [&](const int64_t* offsets, int64_t n, int64_t position) {
    float buffers[kOperands][kStridedBlock];
    float* p[kOperands];
    const int64_t block = all_direct ? n : kStridedBlock;
    for (int64_t i = 0, count; i < n; i += count) {
      count = std::min(block, n - i);
      for (int k = 0; k < kOperands; ++k) {
        p[k] = operands[k]->template As<float>() + offsets[k] + i * nest.InnerStride(k);
        if (direct[k]) continue;
        if (k >= kOutputs) Gather(p[k], nest.InnerStride(k), buffers[k], count);
        p[k] = buffers[k];
      }
      kernel(p, steps, count, position + i);
      for (int k = 0; k < kOutputs; ++k) {
        if (direct[k]) continue;
        float* y = operands[k]->template As<float>() + offsets[k] + i * nest.InnerStride(k);
        Scatter(buffers[k], y, nest.InnerStride(k), count);
      }
    }
  });
}

template <int kOutputs, bool kBroadcast = false, int kOperands, class F>
void MapStrided(const Context& context, const Operand* const (&operands)[kOperands], LoopOrder order,
                F&& kernel) {
  const LoopNest<kOperands> nest(operands, order);
  ForChunks(context, nest.Size(), 1, [&](int64_t begin, int64_t end) {
    MapRun<kOutputs, kBroadcast>(nest, operands, begin, end, kernel);
  });
}

}  // namespace heedful
