#include "runtime/peak.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "runtime/check.h"
#include "runtime/dispatch.h"

namespace heedful {
namespace {

using Clock = std::chrono::steady_clock;

double NanosecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::nano>(Clock::now() - start).count();
}

const ComputePeak* FindFormat(const PeakKernels& kernels, const std::string& name) {
#define HEEDFUL_FIND(format) \
  if (name == #format && kernels.format.run) return &kernels.format;
  HEEDFUL_COMPUTE_FORMATS(HEEDFUL_FIND)
#undef HEEDFUL_FIND
  return nullptr;
}

// A sample is handed out in this many pieces per thread, so that one that is interrupted holds up the others
// for a piece only.
constexpr int64_t kPieces = 16;

// Rates of `samples` rounds in which piece(worker) is called kPieces times per thread, after one that only
// warms up; each piece does `work`.
template <class Piece>
std::vector<double> Rates(int samples, ThreadPool& pool, double work, Piece&& piece) {
  const int64_t pieces = kPieces * pool.threads();
  std::vector<double> rates;
  for (int sample = -1; sample < samples; ++sample) {
    const auto start = Clock::now();
    pool.Parallel(pieces, [&](int64_t, int worker) { piece(worker); });
    const double nanoseconds = NanosecondsSince(start);
    if (sample >= 0) rates.push_back(work * static_cast<double>(pieces) / nanoseconds);
  }
  return rates;
}

std::vector<double> MeasureCompute(const ComputePeak& peak, int samples, ThreadPool& pool) {
  constexpr int64_t kRounds = 12500;  // 40 to 80 µs
  return Rates(samples, pool, static_cast<double>(kRounds * peak.operations), [&](int) {
    volatile float keep = peak.run(kRounds);
    (void)keep;
  });
}

// Where a function stands in HEEDFUL_UNARY_FUNCTIONS, −1 for no function.
int FindFunction(const std::string& name) {
#define HEEDFUL_NAME(function) #function,
  constexpr const char* kNames[] = {HEEDFUL_UNARY_FUNCTIONS(HEEDFUL_NAME)};
#undef HEEDFUL_NAME
  for (int i = 0; i < kUnaryCount; ++i)
    if (name == kNames[i]) return i;
  return -1;
}

// A function by the kernels that compute it, of so few numbers that memory does not matter.
std::vector<double> MeasureFunction(const ElementwiseKernels& kernels, int function, bool gradient,
                                    int samples, ThreadPool& pool) {
  constexpr int64_t kElements = 1920, kRounds = 100;  // whole packs of every instruction set; 10 to 50 µs
  return Rates(samples, pool, static_cast<double>(kElements * kRounds), [&](int) {
    alignas(64) float x[kElements], y[kElements];
    for (int64_t i = 0; i < kElements; ++i) x[i] = static_cast<float>(i % 101) * 0.06f - 3;
    for (int64_t round = 0; round < kRounds; ++round) {
      if (gradient) {
        kernels.unary_gradient[function](x, x, y, kElements);
      } else {
        kernels.unary[function](x, y, kElements);
      }
    }
    volatile float keep = y[0];
    (void)keep;
  });
}

// The C library knows how to write without reading first, where that helps.
void WriteMemory(float* y, int64_t n, int64_t repeats) {
  for (int64_t repeat = 0; repeat < repeats; ++repeat)
    std::memset(y, static_cast<int>(repeat), static_cast<size_t>(n) * sizeof(float));
}

// The share of one worker, gone through again and again.
struct alignas(64) Share {
  float* memory;
  int64_t next = 0;
};

std::vector<double> MeasureMemory(const PeakKernels& kernels, const PeakRequest& request, ThreadPool& pool) {
  const bool copy = request.name == "copy", read = request.name == "read", write = request.name == "write";
  constexpr int64_t kBlock = kMemoryPeakBlock;
  const int64_t size = static_cast<int64_t>(request.workingSet / sizeof(float)) / (2 * kBlock) * (2 * kBlock);
  const int threads = pool.threads();
  HEEDFUL_CHECK(size > 0, "measure: expected a working set of at least " +
                              std::to_string(2 * kBlock * sizeof(float)) + " bytes, got " +
                              std::to_string(request.workingSet));
  HEEDFUL_CHECK(size <= static_cast<int64_t>(request.memoryBytes / sizeof(float)) / threads,
                "measure: " + std::to_string(threads) + " threads need " +
                    std::to_string(threads * size * static_cast<int64_t>(sizeof(float))) +
                    " bytes of memory, got " + std::to_string(request.memoryBytes));
  std::vector<Share> shares(threads);
  for (int i = 0; i < threads; ++i) shares[i].memory = reinterpret_cast<float*>(request.memory) + i * size;
  // Pages that nobody wrote to are one and the same page of zeros.
  constexpr int64_t kPage = 4096 / sizeof(float);
  pool.Parallel(threads, [&](int64_t i, int) {
    for (int64_t at = 0; at < size; at += kPage) static_cast<volatile float*>(shares[i].memory)[at] = 1;
  });

  const int64_t range = copy ? size / 2 : size;  // what is gone through
  constexpr int64_t kLeast = (64 << 20) / sizeof(float) / kPieces;
  const int64_t slice = std::min(range, std::max(range / kPieces / kBlock * kBlock, kLeast));
  const int64_t repeats = std::max<int64_t>(1, kLeast / slice);
  const double bytes = static_cast<double>(slice * repeats) * sizeof(float) * (read || write ? 1 : 2);
  return Rates(request.samples, pool, bytes, [&](int worker) {
    Share& share = shares[worker];
    if (share.next + slice > range) share.next = 0;
    float* from = share.memory + share.next;
    share.next += slice;
    if (copy) return kernels.copy(from, from + range, slice, repeats);
    if (write) return WriteMemory(from, slice, repeats);
    if (!read) return kernels.update(from, slice, repeats);
    volatile float keep = kernels.read(from, slice, repeats);
    (void)keep;
  });
}

// Two threads hand a number to and fro: even numbers are for this one, odd ones for the other. With one core
// each turn lasts until the system takes the core away, so it ends after a while.
double MeasureHandshake() {
  constexpr uint32_t kWarmUp = 1000, kRounds = 2000;  // the first wait for the other thread to start
  constexpr auto kLongest = std::chrono::milliseconds(20);
  alignas(64) std::atomic<uint32_t> ball{0};
  std::atomic<bool> stop{false};
  std::thread other([&] {
    for (uint32_t turn = 1; !stop.load(std::memory_order_relaxed);) {
      if (ball.load(std::memory_order_acquire) != turn) continue;
      ball.store(turn + 1, std::memory_order_release);
      turn += 2;
    }
  });
  auto start = Clock::now();
  const auto deadline = start + kLongest;
  uint32_t round = 0, counted = 0;
  for (bool late = false; round < kWarmUp + kRounds && !late; ++round, ++counted) {
    if (round == kWarmUp) {
      start = Clock::now();
      counted = 0;
    }
    ball.store(2 * round + 1, std::memory_order_release);
    for (uint32_t spins = 0; ball.load(std::memory_order_acquire) != 2 * round + 2 && !late; ++spins)
      if (spins % 1024 == 1023) late = Clock::now() > deadline;
  }
  const double nanoseconds = NanosecondsSince(start);
  stop.store(true, std::memory_order_relaxed);
  other.join();
  return nanoseconds / counted;
}

}  // namespace

std::vector<const char*> ComputeFormats() {
  std::vector<const char*> names;
#define HEEDFUL_NAME(format) \
  if (Kernels().peak.format.run) names.push_back(#format);
  HEEDFUL_COMPUTE_FORMATS(HEEDFUL_NAME)
#undef HEEDFUL_NAME
  return names;
}

std::vector<double> MeasurePeak(const PeakRequest& request, ThreadPool& pool) {
  const PeakKernels& kernels = Kernels().peak;
  ThreadPool::Hold hold(pool);
  if (const ComputePeak* format = FindFormat(kernels, request.name))
    return MeasureCompute(*format, request.samples, pool);
  constexpr const char* kGradient = " gradient";
  const size_t at = request.name.find(kGradient);
  if (const int function = FindFunction(request.name.substr(0, at)); function >= 0)
    return MeasureFunction(Kernels().elementwise, function, at != std::string::npos, request.samples, pool);
  for (const char* name : {"read", "write", "copy", "update"})
    if (request.name == name) return MeasureMemory(kernels, request, pool);
  HEEDFUL_CHECK(request.name == "handshake",
                "measure: '" + request.name + "' is nothing that " + Kernels().name + " can measure");
  std::vector<double> times(request.samples);
  for (double& time : times) time = MeasureHandshake();
  return times;
}

}  // namespace heedful
