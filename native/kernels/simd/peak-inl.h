// What the machine can do at most, to measure kernels against. Included inside each instruction set's
// anonymous namespace.

// Independent multiply-adds that never leave the registers: 12 accumulators cover two per clock at a latency
// of 4. Returns their sum, so that none is left out.
float MultiplyAddInRegisters(int64_t rounds) {
  constexpr int kAccumulators = 12;
  Vec sum[kAccumulators];
  Unroll<kAccumulators>([&](auto i) { sum[i] = Set1(static_cast<float>(i)); });
  const Vec a = Set1(0.5f), b = Set1(0.25f);
  for (int64_t round = 0; round < rounds; ++round) {
    Unroll<kAccumulators>([&](auto i) { sum[i] = Fma(a, sum[i], b); });
  }
  Vec total = Zero();
  Unroll<kAccumulators>([&](auto i) { total = total + sum[i]; });
  return ReduceAdd(total);
}

constexpr PeakKernels kPeakKernels = {
    .multiply_add = &MultiplyAddInRegisters,
    .flops_per_round = 2 * 12 * Vec::kLanes,
};
