// Integers where the CPU multiplies four pairs of bytes at once: all that an instruction set with such a
// product adds.

struct Bytes {
  static constexpr int kParts = 1, kProducts = 4, kByteOffset = kDotOffset;
  template <int kNibbles>
  static Vec Part(Index<0>, Vec word) {
    return kNibbles == 1 ? DotOperand(word) : word;
  }
  static Splat Left(const float* p) { return LoadSplat(p); }
  template <class A>
  static Vec MultiplyAdd(A a, Vec b, Vec sum) {
    return DotBytes(a, b, sum);
  }
  static void StoreTerms(float* row, Vec x) { StoreBytes(row, x); }
};

constexpr KernelExtension BytesExtension(const char* name) {
  return {
      .name = name,
      .panels = {{},
                 {},
                 {},
                 kIntegerPanel<Int8Blocks, Bytes>,
                 kIntegerPanel<Q8Blocks, Bytes>,
                 kIntegerPanel<Q4Blocks, Bytes>},
      .int8 = kComputePeak<Bytes>,
  };
}
