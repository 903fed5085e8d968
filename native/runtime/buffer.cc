#include "runtime/buffer.h"

#include <atomic>
#include <cstring>
#include <new>
#include <string>

#include "runtime/check.h"
#include "runtime/huge_pages.h"

#if defined(__unix__) || defined(__APPLE__)
#define HEEDFUL_MAPS_FILES 1
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace heedful {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kLargest = size_t{1} << 52;  // sizes come from JavaScript numbers

std::atomic<int64_t> live_bytes{0};

size_t SmallSize(size_t bytes) { return bytes ? bytes : 1; }

void* AllocateSmall(size_t bytes) {
  void* p = ::operator new (SmallSize(bytes), std::align_val_t{kAlignment}, std::nothrow);
  if (p) std::memset(p, 0, SmallSize(bytes));
  return p;
}

void FreeSmall(void* p) { ::operator delete (p, std::align_val_t{kAlignment}); }

#if defined(__linux__)
constexpr size_t kPage = 64 << 10;  // a multiple of every page size in use

size_t RoundUp(size_t n, size_t to) { return (n + to - 1) / to * to; }

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kShare = false;  // what reaches beyond a buffer is found only where nothing lies
#else
constexpr bool kShare = true;
#endif

bool Shares(size_t bytes) { return kShare && bytes >= kLeastShared && bytes <= kMostShared; }

void* Allocate(size_t bytes) {
  if (Shares(bytes)) return AllocateShared(bytes);
  if (bytes < kHugePage) return AllocateSmall(bytes);
  // Maps one huge page too much and gives back what lies outside the aligned part.
  const size_t size = RoundUp(bytes, kPage);
  void* mapped = mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  char* begin = static_cast<char*>(mapped);
  char* aligned = reinterpret_cast<char*>(RoundUp(reinterpret_cast<uintptr_t>(begin), kHugePage));
  const size_t head = static_cast<size_t>(aligned - begin);
  if (head) munmap(begin, head);
  if (kHugePage - head) munmap(aligned + size, kHugePage - head);
  madvise(aligned, size, MADV_HUGEPAGE);
  return aligned;
}

void Free(void* p, size_t bytes) {
  if (Shares(bytes)) {
    FreeShared(p, bytes);
  } else if (bytes < kHugePage) {
    FreeSmall(p);
  } else {
    munmap(p, RoundUp(bytes, kPage));
  }
}
#else
void* Allocate(size_t bytes) { return AllocateSmall(bytes); }
void Free(void* p, size_t) { FreeSmall(p); }
#endif

}  // namespace

AlignedBuffer::AlignedBuffer(size_t bytes) : size_(bytes) {
  data_ = bytes <= kLargest ? static_cast<std::byte*>(Allocate(bytes)) : nullptr;
  HEEDFUL_CHECK(data_, "memory: the system has no " + std::to_string(bytes) + " bytes (" +
                           std::to_string(bytes >> 20) + " MiB); live now: " + std::to_string(LiveBytes()) +
                           " bytes");
  live_bytes.fetch_add(static_cast<int64_t>(bytes), std::memory_order_relaxed);
}

std::shared_ptr<AlignedBuffer> AlignedBuffer::MapFile(int fd, int64_t position, size_t bytes) {
#if defined(HEEDFUL_MAPS_FILES)
  const auto within = static_cast<size_t>(position % sysconf(_SC_PAGESIZE));
  if (bytes == 0 || bytes > kLargest) return nullptr;
  void* mapped = mmap(nullptr, within + bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd,
                      static_cast<off_t>(position) - static_cast<off_t>(within));
  if (mapped == MAP_FAILED) return nullptr;
  // Read ahead while the model is put together.
  madvise(mapped, within + bytes, MADV_WILLNEED);
  return std::shared_ptr<AlignedBuffer>(
      new AlignedBuffer(static_cast<std::byte*>(mapped) + within, bytes, mapped, within + bytes));
#else
  return nullptr;
#endif
}

AlignedBuffer::~AlignedBuffer() {
#if defined(HEEDFUL_MAPS_FILES)
  if (mapped_) {
    munmap(mapped_, mapped_bytes_);
    return;
  }
#endif
  live_bytes.fetch_sub(static_cast<int64_t>(size_), std::memory_order_relaxed);
  Free(data_, size_);
}

int64_t AlignedBuffer::LiveBytes() { return live_bytes.load(std::memory_order_relaxed); }

}  // namespace heedful
