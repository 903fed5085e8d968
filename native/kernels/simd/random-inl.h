// y[i] = keep(i) ? x[i] · scale : 0,  keep(i) ⇔ Random32(seed, stream, first + i) ≥ threshold
// (kernels/random.h). y may be x. A dropped ∞ or NaN gives 0. The bits are the same on all instruction sets.
// Source: counter-based generation, Salmon et al. 2011 ("Parallel random numbers: as easy as 1, 2, 3"), with
// a cheaper mixing function. Included inside each instruction set's anonymous namespace.

// h ^ (h >> kBits)
template <int kBits>
inline Vec XorShift(Vec h) {
  return XorInts(h, ShiftRight<kBits>(h));
}

// RandomAt of kernels/random.h for each lane.
inline Vec RandomInts(RandomKey key, Vec low) {
  Vec h = XorInts(low, SetInts(key.first));
  h = MultiplyInts(XorShift<16>(h), SetInts(0x7feb352du));
  h = AddInts(XorShift<15>(h), SetInts(key.second));
  h = MultiplyInts(XorShift<14>(h), SetInts(0x846ca68bu));
  h = MultiplyInts(XorShift<15>(h), SetInts(0x9e3779b1u));
  return XorShift<16>(h);
}

void DropoutKernel(const float* x, float* y, int64_t n, uint32_t seed, uint32_t stream, uint64_t first,
                   uint32_t threshold, float scale) {
  const Vec least = SetInts(threshold), factor = Set1(scale);
  for (int64_t begin = 0, count; begin < n; begin += count) {
    const uint64_t index = first + static_cast<uint64_t>(begin);
    const uint32_t low = static_cast<uint32_t>(index);
    // A block ends where the high half of the index, hence the key, changes.
    const int64_t to_next_key = (int64_t{1} << 32) - low;
    count = n - begin < to_next_key ? n - begin : to_next_key;
    const RandomKey key = MakeRandomKey(seed, stream, static_cast<uint32_t>(index >> 32));
    const float* const from = x + begin;
    float* const to = y + begin;
    Vec at = AddInts(SetInts(low), LaneInts());
    ForLanes(
        count, [&](int64_t i, auto lanes) __attribute__((always_inline)) {
          const Vec kept = lanes.Read(from + i) * factor;
          lanes.Write(to + i, Select(Reaches(RandomInts(key, at), least), kept, Zero()));
          at = AddInts(at, SetInts(Vec::kLanes));
        });
  }
}
