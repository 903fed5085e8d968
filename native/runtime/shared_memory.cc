#include "runtime/shared_memory.h"

namespace heedful {

SharedMemory& SharedMemory::Of() {
  // Never destroyed: environments may end after static objects do.
  static auto* const shared = new SharedMemory;
  return *shared;
}

std::shared_ptr<AlignedBuffer> SharedMemory::Find(const std::string& key) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = buffers_.find(key);
  return found == buffers_.end() ? nullptr : found->second.lock();
}

std::shared_ptr<AlignedBuffer> SharedMemory::Share(const std::string& key,
                                                   const std::shared_ptr<AlignedBuffer>& memory) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (auto entry = buffers_.begin(); entry != buffers_.end();)
    entry = entry->second.expired() ? buffers_.erase(entry) : std::next(entry);
  std::weak_ptr<AlignedBuffer>& place = buffers_[key];
  if (std::shared_ptr<AlignedBuffer> there = place.lock()) return there;
  place = memory;
  return memory;
}

}  // namespace heedful
