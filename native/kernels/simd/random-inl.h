// y[i] = keep(i) ? x[i] · scale : 0,  keep(i) ⇔ Random32(seed, stream, first + i) ≥ threshold
// (kernels/random.h). y may be x. A dropped ∞ or NaN gives 0. The bits are the same on all instruction sets.
// Source: counter-based generation, Salmon et al. 2011 ("Parallel random numbers: as easy as 1, 2, 3"), with
// a cheaper mixing function. Included inside each instruction set's anonymous namespace.
void DropoutKernel(const float* x, float* y, int64_t n, uint32_t seed, uint32_t stream, uint64_t first,
                   uint32_t threshold, float scale) {
  constexpr int64_t kBlock = 256;
  float keep[kBlock];
  for (int64_t begin = 0, count; begin < n; begin += count) {
    const uint64_t index = first + static_cast<uint64_t>(begin);
    const uint32_t low = static_cast<uint32_t>(index);
    // A block ends where the high half of the index, hence the key, changes.
    const int64_t to_next_key = (int64_t{1} << 32) - low;
    count = n - begin < kBlock ? n - begin : kBlock;
    if (count > to_next_key) count = to_next_key;
    const RandomKey key = MakeRandomKey(seed, stream, static_cast<uint32_t>(index >> 32));
    for (int i = 0; i < kBlock; ++i) {
      keep[i] = RandomAt(key, low + static_cast<uint32_t>(i)) >= threshold ? 1.0f : 0.0f;
    }
    ForLanes(count, [&](int64_t i, auto lanes) {
      const Vec scaled = lanes.Read(x + begin + i) * Set1(scale);
      lanes.Write(y + begin + i, Select(Less(Zero(), lanes.Read(keep + i)), scaled, Zero()));
    });
  }
}
