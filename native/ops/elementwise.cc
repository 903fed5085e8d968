// Elementwise operations.
//   unary           y[i] = f(x[i])
//   unaryGradient   dx[i] = dy[i] · f'(x[i])
//   binary          y[i] = f(a[i], b[i]), a and b broadcast to y
//   gated           y[i] = f(gate[i]) · up[i]
//   gatedGradient   dGate[i] = dy[i] · up[i] · f'(gate[i]);  dUp[i] = dy[i] · f(gate[i])
//
// All operands of one shape (those of binary may have dimensions of size 1, or fewer, where y has more), all
// f32 or all f64. Layouts: every operand may have any strides; outputs must not be broadcast. An output may
// be an input, with the same data and strides; otherwise they must not overlap. Functions and accuracy:
// kernels/kernel_table.h, kernels/simd/math-inl.h.
#include "kernels/reference/elementwise.h"

#include "ops/op_list.h"
#include "ops/operands.h"
#include "ops/strided_map.h"

namespace heedful {
namespace {

Unary UnaryOf(const Instruction& in) { return static_cast<Unary>(in.attributes[0]); }
Binary BinaryOf(const Instruction& in) { return static_cast<Binary>(in.attributes[0]); }
reference::View<double> View(const Operand& x) { return ReferenceView<double>(x); }

// Operands of one shape, `outputs` of them at the end, and a function.
void CheckMap(const char* op, const Instruction& in, int outputs) {
  const int count = in.op->inputs + outputs;
  const Operand& y = in[static_cast<size_t>(in.op->inputs)];
  const OperandCheck check(op, y.dtype);
  check.Choice("function", in.attributes[0], kUnaryCount);
  for (int i = 0; i < count; ++i) {
    const std::string name = "operand " + std::to_string(i);
    const Operand& x = in[static_cast<size_t>(i)];
    check.Float(name.c_str(), x);
    check.Shape(name.c_str(), x, y);
    if (i >= in.op->inputs) check.Output(name.c_str(), x);
  }
}

void CheckUnary(const Instruction& in) { CheckMap("unary", in, 1); }
void CheckUnaryGradient(const Instruction& in) { CheckMap("unaryGradient", in, 1); }
void CheckGated(const Instruction& in) { CheckMap("gated", in, 1); }
void CheckGatedGradient(const Instruction& in) { CheckMap("gatedGradient", in, 2); }

void CheckBinary(const Instruction& in) {
  const Operand &a = in[0], &b = in[1], &y = in[2];
  const OperandCheck check("binary", y.dtype);
  check.Choice("function", in.attributes[0], kBinaryCount);
  check.Float("a", a);
  check.Float("b", b);
  check.Float("y", y);
  check.Broadcasts("a", a, y);
  check.Broadcasts("b", b, y);
  check.Output("y", y);
}

void RunUnary(const Instruction& in, Context& context) {
  const auto kernel = context.kernels.elementwise.unary[static_cast<int>(UnaryOf(in))];
  MapStrided<1>(context, {&in[1], &in[0]}, LoopOrder::kMemory,
                [=](float* const* p, const int64_t*, int64_t n, int64_t) { kernel(p[1], p[0], n); });
}

void RunUnaryGradient(const Instruction& in, Context& context) {
  const auto kernel = context.kernels.elementwise.unary_gradient[static_cast<int>(UnaryOf(in))];
  MapStrided<1>(context, {&in[2], &in[0], &in[1]}, LoopOrder::kMemory,
                [=](float* const* p, const int64_t*, int64_t n, int64_t) { kernel(p[1], p[2], p[0], n); });
}

void RunBinary(const Instruction& in, Context& context) {
  const auto kernel = context.kernels.elementwise.binary[static_cast<int>(BinaryOf(in))];
  MapStrided<1, true>(context, {&in[2], &in[0], &in[1]}, LoopOrder::kMemory,
                      [=](float* const* p, const int64_t* steps, int64_t n, int64_t) {
                        kernel(p[1], steps[1], p[2], steps[2], p[0], n);
                      });
}

void RunGated(const Instruction& in, Context& context) {
  const auto kernel = context.kernels.elementwise.gated;
  const Unary f = UnaryOf(in);
  MapStrided<1>(context, {&in[2], &in[0], &in[1]}, LoopOrder::kMemory,
                [=](float* const* p, const int64_t*, int64_t n, int64_t) { kernel(f, p[1], p[2], p[0], n); });
}

void RunGatedGradient(const Instruction& in, Context& context) {
  const auto kernel = context.kernels.elementwise.gated_gradient;
  const Unary f = UnaryOf(in);
  MapStrided<2>(context, {&in[3], &in[4], &in[0], &in[1], &in[2]}, LoopOrder::kMemory,
                [=](float* const* p, const int64_t*, int64_t n, int64_t) {
                  kernel(f, p[2], p[3], p[4], p[0], p[1], n);
                });
}

void ReferenceUnary(const Instruction& in) { reference::UnaryMap(UnaryOf(in), View(in[0]), View(in[1])); }
void ReferenceUnaryGradient(const Instruction& in) {
  reference::UnaryGradient(UnaryOf(in), View(in[0]), View(in[1]), View(in[2]));
}
void ReferenceBinary(const Instruction& in) {
  reference::BinaryMap(BinaryOf(in), View(in[0]), View(in[1]), View(in[2]));
}
void ReferenceGated(const Instruction& in) {
  reference::Gated(UnaryOf(in), View(in[0]), View(in[1]), View(in[2]));
}
void ReferenceGatedGradient(const Instruction& in) {
  reference::GatedGradient(UnaryOf(in), View(in[0]), View(in[1]), View(in[2]), View(in[3]), View(in[4]));
}

}  // namespace

const OpInfo kUnaryOp = {"unary", 1, 1, 1, CheckUnary, NoWorkspace, RunUnary, ReferenceUnary};
const OpInfo kUnaryGradientOp = {
    "unaryGradient", 2, 1, 1, CheckUnaryGradient, NoWorkspace, RunUnaryGradient, ReferenceUnaryGradient};
const OpInfo kBinaryOp = {"binary", 2, 1, 1, CheckBinary, NoWorkspace, RunBinary, ReferenceBinary};
const OpInfo kGatedOp = {"gated", 2, 1, 1, CheckGated, NoWorkspace, RunGated, ReferenceGated};
const OpInfo kGatedGradientOp = {
    "gatedGradient", 3, 2, 1, CheckGatedGradient, NoWorkspace, RunGatedGradient, ReferenceGatedGradient};

}  // namespace heedful
