// What this machine can do at most, measured: computing in registers, reading and copying memory, and how far
// apart its threads are.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "runtime/thread_pool.h"

namespace heedful {

// The formats that the instruction set in use computes in, e.g. "f32": MeasurePeak takes their names.
std::vector<const char*> ComputeFormats();

struct PeakRequest {
  std::string name;
  int samples = 1;
  // Memory: each thread works on its own `workingSet` bytes of memory (copy: from one half to the
  // other; update: reads and writes in place).
  std::byte* memory = nullptr;
  size_t memoryBytes = 0;
  size_t workingSet = 0;
};

// One figure per sample, of all threads of the pool together:
//   a format            GFLOP/s
//   a unary function    elements per nanosecond, in the nearest cache; with " gradient" behind its name, its
//                       gradient
//   read, write         GB/s
//   copy, update        GB/s, bytes read plus bytes written
//   handshake           nanoseconds from one thread to another and back through a cache line, whatever the
//   pool
// A sample takes about a millisecond, or as long as the working set takes to go through once. Throws Error
// for an unknown name and for memory that is too small.
std::vector<double> MeasurePeak(const PeakRequest& request, ThreadPool& pool);

}  // namespace heedful
