// Memory of tensors, arenas and workspaces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace heedful {

// 64-byte aligned, zero-filled. On Linux in huge pages where the system gives them, up to 16 MiB shared with
// other buffers (huge_pages.h): a matrix of 64 MiB then needs 32 entries of the TLB instead of 16384.
class AlignedBuffer {
 public:
  // Throws Error that names the size when there is not enough memory.
  explicit AlignedBuffer(size_t bytes);
  // `bytes` bytes of an open file from `position` on, aligned to that only: pages of the system's cache, read
  // when they are first touched, and copied when they are first written to, for this mapping alone. Null
  // where the system can't. The file may be closed, removed and replaced, but not be made shorter.
  static std::shared_ptr<AlignedBuffer> MapFile(int fd, int64_t position, size_t bytes);
  ~AlignedBuffer();
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;

  std::byte* data() const { return data_; }  // never null
  size_t size() const { return size_; }

  // Sum of size() over all buffers of the process but those of files, whose pages the system can take back.
  static int64_t LiveBytes();

 private:
  AlignedBuffer(std::byte* data, size_t size, void* mapped, size_t mapped_bytes)
      : data_(data), size_(size), mapped_(mapped), mapped_bytes_(mapped_bytes) {}

  std::byte* data_;
  size_t size_;
  void* mapped_ = nullptr;  // of a file: where its first page is
  size_t mapped_bytes_ = 0;
};

}  // namespace heedful
