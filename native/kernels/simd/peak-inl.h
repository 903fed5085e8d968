// What the machine can do at most with memory and in f32, to measure kernels against. Included inside each
// instruction set's anonymous namespace.

struct F32Peak {
  static constexpr int kProducts = 1;
  static Vec MultiplyAdd(Vec a, Vec b, Vec sum) { return Fma(a, b, sum); }
};

// Keeps the passes over memory apart: a compiler may well do two of them in one.
inline void EndPass() { __asm__ volatile("" ::: "memory"); }

// One stream; 8 accumulators cover two additions per clock at a latency of 4.
float ReadMemory(const float* x, int64_t n, int64_t repeats) {
  constexpr int kAccumulators = 8, kStep = kAccumulators * Vec::kLanes;
  static_assert(kMemoryPeakBlock % kStep == 0);
  Vec sum[kAccumulators];
  Unroll<kAccumulators>([&](auto j) { sum[j] = Zero(); });
  for (int64_t repeat = 0; repeat < repeats; ++repeat, EndPass()) {
    for (int64_t i = 0; i < n; i += kStep) {
      Unroll<kAccumulators>([&](auto j) { sum[j] = sum[j] + Load(x + i + j * Vec::kLanes); });
    }
  }
  Vec total = Zero();
  Unroll<kAccumulators>([&](auto j) { total = total + sum[j]; });
  return ReduceAdd(total);
}

void CopyMemory(const float* x, float* y, int64_t n, int64_t repeats) {
  constexpr int kVectors = 4, kStep = kVectors * Vec::kLanes;
  static_assert(kMemoryPeakBlock % kStep == 0);
  for (int64_t repeat = 0; repeat < repeats; ++repeat, EndPass()) {
    for (int64_t i = 0; i < n; i += kStep) {
      Unroll<kVectors>([&](auto j) { Store(y + i + j * Vec::kLanes, Load(x + i + j * Vec::kLanes)); });
    }
  }
}

void UpdateMemory(float* y, int64_t n, int64_t repeats) {
  constexpr int kVectors = 4, kStep = kVectors * Vec::kLanes;
  static_assert(kMemoryPeakBlock % kStep == 0);
  for (int64_t repeat = 0; repeat < repeats; ++repeat, EndPass()) {
    for (int64_t i = 0; i < n; i += kStep) {
      Unroll<kVectors>(
          [&](auto j) { Store(y + i + j * Vec::kLanes, Zero() - Load(y + i + j * Vec::kLanes)); });
    }
  }
}

constexpr PeakKernels kPeakKernels = {
    .f32 = kComputePeak<F32Peak>,
    .bf16 = {},
    .int8 = kComputePeak<Shorts>,
    .read = &ReadMemory,
    .copy = &CopyMemory,
    .update = &UpdateMemory,
};
