// dropout: y[i] = keep(i) ? x[i] / (1 − p) : 0,  keep(i) ⇔ Random32(seed, stream, i) ≥ p · 2³²
// (kernels/random.h), i counting the elements in row-major order: neither the layout nor the number of
// threads changes the mask.
//
// x, y of one shape, f32 or f64; seed i32 []. 0 ≤ p ≤ 1; p = 1 gives zeros. 0 ≤ stream < 2³².
// Layouts: x and y may have any strides; y must not be broadcast. y may be x with the same data and strides;
// otherwise they must not overlap. The gradient is the same op applied to dy.
// Source: Srivastava et al. 2014, in the inverted form.
#include "kernels/reference/dropout.h"

#include <cmath>

#include "ops/op_list.h"
#include "ops/operands.h"
#include "ops/strided_map.h"

namespace heedful {
namespace {

constexpr double kTwo32 = 4294967296.0;

void Check(const Instruction& in) {
  const OperandCheck check("dropout", in[2].dtype);
  check.Float("x", in[0]);
  check.Int("seed", in[1]);
  check.Float("y", in[2]);
  check.Shape("x", in[0], in[2]);
  check.Scalar("seed", in[1]);
  check.Output("y", in[2]);
  const double p = in.attributes[0], stream = in.attributes[1];
  check.Require(p >= 0 && p <= 1, "the probability must be between 0 and 1, not " + std::to_string(p));
  check.Require(stream >= 0 && stream < kTwo32 && stream == std::floor(stream),
                "the stream must be a whole number below 2^32, not " + std::to_string(stream));
}

uint32_t Seed(const Instruction& in) { return static_cast<uint32_t>(*in[1].As<int32_t>()); }
uint32_t Stream(const Instruction& in) { return static_cast<uint32_t>(in.attributes[1]); }

void Run(const Instruction& in, Context& context) {
  const double p = in.attributes[0], threshold = std::round(p * kTwo32);
  const uint32_t seed = Seed(in), stream = Stream(in);
  MapStrided<1>(context, {&in[2], &in[0]}, LoopOrder::kRowMajor,
                [&](float* const* data, const int64_t*, int64_t n, int64_t position) {
                  // Above every 32-bit number: nothing is kept.
                  if (threshold >= kTwo32) {
                    std::fill_n(data[0], n, 0.0f);
                    return;
                  }
                  context.kernels.elementwise.dropout(
                      data[1], data[0], n, seed, stream, static_cast<uint64_t>(position),
                      static_cast<uint32_t>(threshold), static_cast<float>(1 / (1 - p)));
                });
}

void Reference(const Instruction& in) {
  reference::Dropout(ReferenceView<double>(in[0]), ReferenceView<double>(in[2]), Seed(in), Stream(in),
                     in.attributes[0]);
}

}  // namespace

const OpInfo kDropoutOp = {"dropout", 2, 1, 2, Check, NoWorkspace, Run, Reference};

}  // namespace heedful
