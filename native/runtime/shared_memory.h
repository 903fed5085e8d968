// Memory that several environments (worker threads) of this process read under one name: packed weights.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "runtime/buffer.h"

namespace heedful {

// Holds nothing by itself: what nobody uses any more is gone. For any thread.
class SharedMemory {
 public:
  // That of the process.
  static SharedMemory& Of();

  // Null when there is none.
  std::shared_ptr<AlignedBuffer> Find(const std::string& key);
  // What is there under the key already, else `memory`, which is from now on. It must not be written to any
  // more.
  std::shared_ptr<AlignedBuffer> Share(const std::string& key, const std::shared_ptr<AlignedBuffer>& memory);

 private:
  std::mutex mutex_;
  std::unordered_map<std::string, std::weak_ptr<AlignedBuffer>> buffers_;
};

}  // namespace heedful
