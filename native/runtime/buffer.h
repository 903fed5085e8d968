// Memory of tensors, arenas and workspaces.
#pragma once

#include <cstddef>
#include <cstdint>

namespace heedful {

// 64-byte aligned, zero-filled. From 2 MiB on Linux in huge pages where the system gives them: a matrix of 64
// MiB then needs 32 entries of the TLB instead of 16384.
class AlignedBuffer {
 public:
  // Throws Error that names the size when there is not enough memory.
  explicit AlignedBuffer(size_t bytes);
  ~AlignedBuffer();
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;

  std::byte* data() const { return data_; }  // never null
  size_t size() const { return size_; }

  // Sum of size() over all buffers of the process.
  static int64_t LiveBytes();

 private:
  std::byte* data_;
  size_t size_;
};

}  // namespace heedful
