// How drivers split work: by sizes that depend on shapes alone, so that the number of threads changes
// nothing.
#pragma once

#include <algorithm>

#include "ops/instruction.h"

namespace heedful {

// Elements that are worth handing to another thread: some microseconds of work beside the fraction of one
// that fork and join take.
constexpr int64_t kGrain = 16384;

// What is written and is larger finds no place in caches, which are shared with others, and is written past
// them: half of the reference machine's last one.
constexpr int64_t kFarBytes = int64_t{16} << 20;

constexpr int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// fn(begin, end) over [0, count) in chunks of about kGrain elements, `work` being the elements of one item;
// on the calling thread alone when there is only one chunk. Chunks are multiples of `multiple`, but for the
// last.
template <class F>
void ForChunks(const Context& context, int64_t count, int64_t work, F&& fn, int64_t multiple = 1) {
  const int64_t size = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, work) / multiple) * multiple;
  if (count <= size) {
    if (count > 0) fn(int64_t{0}, count);
    return;
  }
  context.Parallel(CeilDiv(count, size),
                   [&](int64_t chunk, int) { fn(chunk * size, std::min(count, (chunk + 1) * size)); });
}

// The same for tasks that are chunks already: one by one on this thread when all work together is less than a
// chunk.
template <class F>
void ForTasks(const Context& context, int64_t count, int64_t total_work, F&& fn) {
  if (count <= 1 || total_work <= kGrain) {
    for (int64_t i = 0; i < count; ++i) fn(i);
    return;
  }
  context.Parallel(count, [&](int64_t i, int) { fn(i); });
}

}  // namespace heedful
