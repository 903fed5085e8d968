// Buffers that share huge pages.
#pragma once

#include <cstddef>

namespace heedful {

// Memory of `bytes` bytes, zero-filled, 64-byte aligned, beside others in pages of 2 MiB: matrices of one
// model then need a few entries of the TLB, whatever their size. Null where the system has none. For sizes
// from kLeastShared to kMostShared; any thread.
//
// Pages that nobody uses any more go back to the system, but for kKeptPages of them: a buffer that is made
// and freed again and again would else be filled with zeros by the system each time.
void* AllocateShared(size_t bytes);
void FreeShared(void* p, size_t bytes);

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kLeastShared = size_t{64} << 10, kMostShared = size_t{16} << 20;
constexpr size_t kKeptPages = 4;

}  // namespace heedful
