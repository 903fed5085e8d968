// Elementwise kernels (ElementwiseKernels of kernel_table.h, where each is specified): one loop per shape of
// operation, instantiated for every function. Outputs may be inputs: an element is read before it is written.
// Included inside each instruction set's anonymous namespace.

template <Unary kFunction>
void UnaryKernel(const float* x, float* y, int64_t n) {
  ForPacks(n,
           [=](int64_t i, auto lanes) { lanes.Write(y + i, Function<kFunction>::Value(lanes.Read(x + i))); });
}

template <Unary kFunction>
void UnaryGradientKernel(const float* x, const float* dy, float* dx, int64_t n) {
  ForPacks(n, [=](int64_t i, auto lanes) {
    lanes.Write(dx + i, lanes.Read(dy + i) * Function<kFunction>::Derivative(lanes.Read(x + i)));
  });
}

template <Binary kFunction>
void BinaryKernel(const float* a, int64_t a_step, const float* b, int64_t b_step, float* y, int64_t n) {
  if (n <= 0) return;
  const Vec a0 = Set1(*a), b0 = Set1(*b);
  if (a_step == 1 && b_step == 1) {
    ForLanes(n, [=](int64_t i, auto lanes) {
      lanes.Write(y + i, Combine<kFunction>(lanes.Read(a + i), lanes.Read(b + i)));
    });
  } else if (a_step == 1) {
    ForLanes(n,
             [=](int64_t i, auto lanes) { lanes.Write(y + i, Combine<kFunction>(lanes.Read(a + i), b0)); });
  } else if (b_step == 1) {
    ForLanes(n,
             [=](int64_t i, auto lanes) { lanes.Write(y + i, Combine<kFunction>(a0, lanes.Read(b + i))); });
  } else {
    const Vec value = Combine<kFunction>(a0, b0);
    ForLanes(n, [=](int64_t i, auto lanes) { lanes.Write(y + i, value); });
  }
}

template <Unary kFunction>
void GatedKernel(const float* gate, const float* up, float* y, int64_t n) {
  ForPacks(n, [=](int64_t i, auto lanes) {
    lanes.Write(y + i, Function<kFunction>::Value(lanes.Read(gate + i)) * lanes.Read(up + i));
  });
}

template <Unary kFunction>
void GatedGradientKernel(const float* gate, const float* up, const float* dy, float* d_gate, float* d_up,
                         int64_t n) {
  ForPacks(n, [=](int64_t i, auto lanes) {
    const auto g = lanes.Read(gate + i), d = lanes.Read(dy + i), u = lanes.Read(up + i);
    lanes.Write(d_gate + i, d * u * Function<kFunction>::Derivative(g));
    lanes.Write(d_up + i, d * Function<kFunction>::Value(g));
  });
}

#define HEEDFUL_ENTRY(name) &GatedKernel<Unary::name>,
void GatedAny(Unary f, const float* gate, const float* up, float* y, int64_t n) {
  constexpr void (*kByFunction[])(const float*, const float*, float*,
                                  int64_t) = {HEEDFUL_UNARY_FUNCTIONS(HEEDFUL_ENTRY)};
  kByFunction[static_cast<int>(f)](gate, up, y, n);
}
#undef HEEDFUL_ENTRY

#define HEEDFUL_ENTRY(name) &GatedGradientKernel<Unary::name>,
void GatedGradientAny(Unary f, const float* gate, const float* up, const float* dy, float* d_gate,
                      float* d_up, int64_t n) {
  constexpr void (*kByFunction[])(const float*, const float*, const float*, float*, float*,
                                  int64_t) = {HEEDFUL_UNARY_FUNCTIONS(HEEDFUL_ENTRY)};
  kByFunction[static_cast<int>(f)](gate, up, dy, d_gate, d_up, n);
}
#undef HEEDFUL_ENTRY

void ToBf16Kernel(const float* x, uint16_t* y, int64_t n) {
  for (; n >= Vec::kLanes; n -= Vec::kLanes, x += Vec::kLanes, y += Vec::kLanes)
    StoreBf16(y, RoundBf16(Load(x)));
  if (n > 0) StoreBf16Partial(y, RoundBf16(LoadPartial(x, static_cast<int>(n))), static_cast<int>(n));
}

void FromBf16Kernel(const uint16_t* x, float* y, int64_t n) {
  for (; n >= Vec::kLanes; n -= Vec::kLanes, x += Vec::kLanes, y += Vec::kLanes) Store(y, LoadBf16(x));
  if (n > 0) StorePartial(y, LoadBf16Partial(x, static_cast<int>(n)), static_cast<int>(n));
}

#define HEEDFUL_UNARY_ENTRY(name) &UnaryKernel<Unary::name>,
#define HEEDFUL_GRADIENT_ENTRY(name) &UnaryGradientKernel<Unary::name>,
#define HEEDFUL_BINARY_ENTRY(name) &BinaryKernel<Binary::name>,
constexpr ElementwiseKernels kElementwiseKernels = {
    {HEEDFUL_UNARY_FUNCTIONS(HEEDFUL_UNARY_ENTRY)},
    {HEEDFUL_UNARY_FUNCTIONS(HEEDFUL_GRADIENT_ENTRY)},
    {HEEDFUL_BINARY_FUNCTIONS(HEEDFUL_BINARY_ENTRY)},
    &GatedAny,
    &GatedGradientAny,
    &DropoutKernel,
    &ToBf16Kernel,
    &FromBf16Kernel,
};
#undef HEEDFUL_UNARY_ENTRY
#undef HEEDFUL_GRADIENT_ENTRY
#undef HEEDFUL_BINARY_ENTRY
