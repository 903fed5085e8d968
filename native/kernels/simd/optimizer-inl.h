// AdamW over a contiguous chunk, in one pass (formula: kernel_table.h). Reads gradient, updates parameter, m
// and v. Source: Loshchilov & Hutter 2019, algorithm 2, with the bias corrections folded into the step as
// Kingma & Ba 2015 suggest at the end of section 2. Included inside each instruction set's anonymous
// namespace.
void AdamWKernel(const AdamW& a, const float* gradient, float* parameter, float* m, float* v, int64_t n) {
  const Vec beta1 = Set1(a.beta1), beta2 = Set1(a.beta2), rest1 = Set1(a.rest1), rest2 = Set1(a.rest2);
  const Vec scale = Set1(a.gradient_scale), decay = Set1(a.decay_factor), step = Set1(a.step_size);
  const Vec correction = Set1(a.inverse_sqrt_correction2), epsilon = Set1(a.epsilon);
  ForLanes(n, [=](int64_t i, auto lanes) {
    const Vec g = lanes.Read(gradient + i) * scale;
    const Vec first = Fma(beta1, lanes.Read(m + i), rest1 * g);
    const Vec second = Fma(beta2, lanes.Read(v + i), rest2 * (g * g));
    lanes.Write(m + i, first);
    lanes.Write(v + i, second);
    const Vec update = first / Fma(Sqrt(second), correction, epsilon);
    lanes.Write(parameter + i, Fnma(step, update, lanes.Read(parameter + i) * decay));
  });
}

constexpr OptimizerKernels kOptimizerKernels = {&AdamWKernel};
