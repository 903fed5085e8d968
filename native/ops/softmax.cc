// softmax: y[…, c] = exp(x[…, c]) / Σ_c exp(x[…, c]), or x[…, c] − ln Σ_c exp(x[…, c]) with log = 1.
// softmaxGradient: dx = y ⊙ (dy − Σ dy ⊙ y), or dy − exp(y) · Σ dy with log = 1; y is what softmax gave.
//
// Over the last dimension; all operands of one shape, all f32 or all f64.
// Layouts: the last dimension of every operand contiguous, the others arbitrary. y may be x, dx may be dy or
// y, with the same data and strides; otherwise they must not overlap.
#include "kernels/reference/softmax.h"

#include "ops/chunks.h"
#include "ops/op_list.h"
#include "ops/operands.h"
#include "ops/rows.h"

namespace heedful {
namespace {

void CheckRows(const OperandCheck& check, const char* name, const Operand& x, const Operand& y) {
  check.Float(name, x);
  check.Shape(name, x, y);
  check.Rows(name, x);
}

void CheckSoftmax(const Instruction& in) {
  const OperandCheck check("softmax", in[1].dtype);
  CheckRows(check, "x", in[0], in[1]);
  CheckRows(check, "y", in[1], in[1]);
  check.Output("y", in[1]);
}

void CheckSoftmaxGradient(const Instruction& in) {
  const OperandCheck check("softmaxGradient", in[2].dtype);
  CheckRows(check, "y", in[0], in[2]);
  CheckRows(check, "dy", in[1], in[2]);
  CheckRows(check, "dx", in[2], in[2]);
  check.Output("dx", in[2]);
}

bool IsLog(const Instruction& in) { return in.attributes[0] != 0; }

void RunSoftmax(const Instruction& in, Context& context) {
  const RowPointers<> x(in[0]), y(in[1]);
  const int64_t n = in[1].Columns();
  const bool log = IsLog(in);
  ForChunks(
      context, in[1].Rows(), n,
      [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end;) {
          SoftmaxRow together[kRowsTogether];
          int count = 0;
          for (; count < kRowsTogether && i < end; ++count, ++i) together[count] = {x[i], y[i]};
          context.kernels.rows.softmax(together, count, n, log);
        }
      },
      kRowsTogether);
}

void RunSoftmaxGradient(const Instruction& in, Context& context) {
  const RowPointers<> y(in[0]), dy(in[1]), dx(in[2]);
  const int64_t n = in[2].Columns();
  const bool log = IsLog(in);
  ForChunks(context, in[2].Rows(), n, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) context.kernels.rows.softmax_gradient(y[i], dy[i], dx[i], n, log);
  });
}

void ReferenceSoftmax(const Instruction& in) {
  reference::Softmax(ReferenceView<double>(in[0]), ReferenceView<double>(in[1]), IsLog(in));
}
void ReferenceSoftmaxGradient(const Instruction& in) {
  reference::SoftmaxGradient(ReferenceView<double>(in[0]), ReferenceView<double>(in[1]),
                             ReferenceView<double>(in[2]), IsLog(in));
}

}  // namespace

const OpInfo kSoftmaxOp = {"softmax", 1, 1, 1, CheckSoftmax, NoWorkspace, RunSoftmax, ReferenceSoftmax};
const OpInfo kSoftmaxGradientOp = {
    "softmaxGradient",       2, 1, 1, CheckSoftmaxGradient, NoWorkspace, RunSoftmaxGradient,
    ReferenceSoftmaxGradient};

}  // namespace heedful
