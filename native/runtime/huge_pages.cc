#include "runtime/huge_pages.h"

#if defined(__linux__)
#include <sys/mman.h>

#include <bitset>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>

namespace heedful {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kPages = 32, kRegion = kPages * kHugePage;  // addresses only: memory is what is touched
static_assert(kMostShared <= kRegion);

size_t RoundUp(size_t n, size_t to) { return (n + to - 1) / to * to; }

char* MapRegion() {
  // One huge page too much; what lies outside the aligned part is given back.
  void* mapped = mmap(nullptr, kRegion + kHugePage, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  char* begin = static_cast<char*>(mapped);
  char* aligned = reinterpret_cast<char*>(RoundUp(reinterpret_cast<uintptr_t>(begin), kHugePage));
  const auto head = static_cast<size_t>(aligned - begin);
  if (head) munmap(begin, head);
  if (kHugePage - head) munmap(aligned + kRegion, kHugePage - head);
  madvise(aligned, kRegion, MADV_HUGEPAGE);
  return aligned;
}

using Pages = std::bitset<kPages>;

// Bytes [begin, end) of a region.
struct Range {
  size_t begin, end;
};

// Pages that lie in a range, whole; that it touches.
Pages Within(Range r) {
  Pages pages;
  for (size_t page = RoundUp(r.begin, kHugePage) / kHugePage; (page + 1) * kHugePage <= r.end; ++page)
    pages.set(page);
  return pages;
}
Pages Touched(Range r) {
  Pages pages;
  for (size_t page = r.begin / kHugePage; page * kHugePage < r.end; ++page) pages.set(page);
  return pages;
}

// What is free stands in a map from where it begins to where it ends; neighbours are one.
struct Region {
  std::map<size_t, size_t> free = {{0, kRegion}};
  Pages dirty;  // they may hold something else than zeros

  bool empty() const { return !free.empty() && free.begin()->second - free.begin()->first == kRegion; }
};

class Heap {
 public:
  // Never destroyed: buffers may live until the process ends.
  static Heap& Of() {
    static auto& heap = *new Heap;
    return heap;
  }

  void* Allocate(size_t bytes) {
    const size_t size = RoundUp(bytes, kAlignment);
    Range taken = {};
    Pages dirty;
    char* begin = nullptr;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (auto at = regions_.begin(); at != regions_.end() && !begin; ++at)
        if (Take(at->second, size, &taken, &dirty)) begin = at->first;
      if (!begin) {
        begin = MapRegion();
        if (!begin) return nullptr;
        Take(regions_[begin], size, &taken, &dirty);
      }
    }
    // Nobody else has these bytes by now.
    for (size_t page = taken.begin / kHugePage; page * kHugePage < taken.end; ++page) {
      if (!dirty[page]) continue;
      const size_t from = page * kHugePage < taken.begin ? taken.begin : page * kHugePage;
      const size_t to = (page + 1) * kHugePage > taken.end ? taken.end : (page + 1) * kHugePage;
      std::memset(begin + from, 0, to - from);
    }
    return begin + taken.begin;
  }

  void Free(void* p, size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto at = --regions_.upper_bound(static_cast<char*>(p));
    Region& region = at->second;
    const auto offset = static_cast<size_t>(static_cast<char*>(p) - at->first);
    const Range freed = {offset, offset + RoundUp(bytes, kAlignment)};
    const Range merged = Merge(region.free, freed);
    Pages idle = Within(merged) & Touched(freed) & region.dirty;
    for (size_t page = 0; page < kPages; ++page) {
      if (!idle[page]) continue;
      if (kept_ < kKeptPages) {
        ++kept_;
      } else {
        madvise(at->first + page * kHugePage, kHugePage, MADV_DONTNEED);
        region.dirty.reset(page);
      }
    }
    if (region.empty() && regions_.size() > 1) {
      kept_ -= region.dirty.count();
      munmap(at->first, kRegion);
      regions_.erase(at);
    }
  }

 private:
  // The first place that is large enough; `dirty`: pages of it that must be filled with zeros.
  bool Take(Region& region, size_t size, Range* taken, Pages* dirty) {
    for (auto at = region.free.begin(); at != region.free.end(); ++at) {
      const Range place = {at->first, at->second};
      if (place.end - place.begin < size) continue;
      *taken = {place.begin, place.begin + size};
      region.free.erase(at);
      if (taken->end < place.end) region.free.emplace(taken->end, place.end);
      *dirty = region.dirty;
      kept_ -= (Within(place) & Touched(*taken) & region.dirty).count();
      region.dirty |= Touched(*taken);
      return true;
    }
    return false;
  }

  // Adds a range to those that are free; gives the whole of which it is a part now.
  static Range Merge(std::map<size_t, size_t>& free, Range range) {
    const auto next = free.lower_bound(range.begin);
    if (next != free.end() && next->first == range.end) {
      range.end = next->second;
      free.erase(next);
    }
    const auto after = free.lower_bound(range.begin);
    if (after != free.begin()) {
      const auto before = std::prev(after);
      if (before->second == range.begin) {
        before->second = range.end;
        return {before->first, range.end};
      }
    }
    free.emplace(range.begin, range.end);
    return range;
  }

  std::mutex mutex_;
  std::map<char*, Region> regions_;  // by where they begin
  size_t kept_ = 0;                  // pages, dirty and free as a whole
};

}  // namespace

void* AllocateShared(size_t bytes) { return Heap::Of().Allocate(bytes); }
void FreeShared(void* p, size_t bytes) { Heap::Of().Free(p, bytes); }

}  // namespace heedful
#endif
