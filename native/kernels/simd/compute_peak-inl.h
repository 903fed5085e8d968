// How many multiply-adds a core does at most: as kernels do them, all operands in registers. Included inside
// each instruction set's anonymous namespace.

// Two products per clock at a latency of 6 need 12 accumulators, and twice as many where there are registers
// for them: with 12, the least disturbance costs 5 % in bf16. MultiplyAddInRegisters returns their sum, so
// that none is left out.
constexpr int kPeakAccumulators = Vec::kLanes >= 16 ? 24 : 12;

template <class Format>
HEEDFUL_MICRO_KERNEL float MultiplyAddInRegisters(int64_t rounds) {
  constexpr int kAccumulators = kPeakAccumulators;
  Vec sum[kAccumulators];
  Unroll<kAccumulators>([&](auto i) { sum[i] = Set1(static_cast<float>(i)); });
  Vec a = Set1(0.5f);
  const Vec b = Pin(Set1(0.25f));
  for (int64_t round = 0; round < rounds; ++round) {
    // Another `a` each time, for all that the compiler knows: else it makes a product once and only adds it.
    Unroll<kAccumulators>([&](auto i) __attribute__((always_inline)) {
      a = Pin(a);
      sum[i] = Pin(Format::MultiplyAdd(a, b, sum[i]));
    });
  }
  Vec total = Zero();
  Unroll<kAccumulators>([&](auto i) { total = total + sum[i]; });
  return ReduceAdd(total);
}

// Format: MultiplyAdd(a, b, sum), and kProducts, those of each lane.
template <class Format>
constexpr ComputePeak kComputePeak = {.run = &MultiplyAddInRegisters<Format>,

                                      .operations = 2 * kPeakAccumulators* Format::kProducts* Vec::kLanes};
