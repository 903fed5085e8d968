// Rotary embedding: pairs of x turn by angle(t, i) = position(t) · frequencies[i].
//
//   RotaryAngles: angles[t, i] = scale · cos(angle(t, i)), angles[t, n + i] = scale · sin(angle(t, i))
//   Rotary: (y0, y1) = (x0 · cos − x1 · sin, x1 · cos + x0 · sin)
//   pair i of n is (i, i + n), or (2i, 2i + 1) when interleaved; elements ≥ 2n are copied; inverse: −sin.
// RotaryAngles: positions i32 [T] or [B, T], frequencies [n] → angles [T, 2n] or [B, T, 2n] {scale}.
// Rotary: x [B, H, T, D], angles (row_angles.h) → y [B, H, T, D] {interleaved, inverse}.
// Layouts: x, y: last dimension contiguous, other strides arbitrary; positions any strides, the rest
// contiguous. Contract: y is x (same strides) or does not overlap it. The inverse is the gradient. Accuracy:
// angles, sines and cosines in double, rounded to float; the rotation in float. Source: RoFormer (Su et al.
// 2021), equation 34.

#include "ops/chunks.h"
#include "ops/op_list.h"
#include "ops/row_angles.h"

namespace heedful {
namespace {

// Rows of one task.
constexpr int64_t kTaskPositions = 16;

// ---- angles -------------------------------------------------------------------------------------------

enum { kPositions, kFrequencies, kAngles };
enum { kScale };

void CheckOfAngles(const Instruction& in) {
  const Operand &positions = in[kPositions], &frequencies = in[kFrequencies], &angles = in[kAngles];
  const OperandCheck check("rotaryAngles", angles.dtype);
  check.Int("positions", positions);
  check.Float("frequencies", frequencies);
  check.Require(frequencies.rank == 1, "frequencies must have one dimension, not " + ShapeText(frequencies));
  check.Contiguous("frequencies", frequencies);
  check.Contiguous("angles", angles);
  Operand expected = positions;
  check.Require(positions.rank == 1 || positions.rank == 2,
                "positions must be [length] or [batch, length], not " + ShapeText(positions));
  expected.dims[expected.rank++] = 2 * frequencies.dims[0];
  check.Shape("angles", angles, expected);
}

// f(row, position) for rows [begin, end) of the table.
template <class F>
void ForPositions(const Operand& positions, int64_t begin, int64_t end, F&& f) {
  const int64_t length = positions.DimFromEnd(0);
  for (int64_t row = begin; row < end; ++row) {
    const int64_t t = row % length, b = row / length;
    f(row, positions.As<int32_t>()[b * positions.StrideFromEnd(1) + t * positions.StrideFromEnd(0)]);
  }
}

void RunOfAngles(const Instruction& in, Context& context) {
  const Operand &positions = in[kPositions], &frequencies = in[kFrequencies], &angles = in[kAngles];
  const int64_t pairs = frequencies.dims[0], rows = positions.Size();
  ForTasks(context, CeilDiv(rows, kTaskPositions), angles.Size(), [&](int64_t task) {
    const int64_t begin = task * kTaskPositions;
    ForPositions(positions, begin, std::min(rows, begin + kTaskPositions), [&](int64_t row, double position) {
      context.kernels.attention.rotary_angles(position, frequencies.As<float>(), pairs, in.attributes[kScale],
                                              angles.As<float>() + row * 2 * pairs);
    });
  });
}

void ReferenceOfAngles(const Instruction& in) {
  const int64_t pairs = in[kFrequencies].dims[0];
  ForPositions(in[kPositions], 0, in[kPositions].Size(), [&](int64_t row, double position) {
    reference::RotaryAngles(position, in[kFrequencies].As<double>(), pairs, in.attributes[kScale],
                            in[kAngles].As<double>() + row * 2 * pairs);
  });
}

// ---- rotation -----------------------------------------------------------------------------------------

enum { kX, kAnglesOfX, kY };
enum { kInterleaved, kInverse };

void Check(const Instruction& in) {
  const Operand &x = in[kX], &y = in[kY];
  CheckHeads("rotary: x", x, x.dtype);
  CheckHeadsOutput("rotary: y", y, x.dtype);
  CheckHeadDims("rotary: y", y, x.dims[0], x.dims[1], x.dims[2], x.dims[3]);
  CheckAngles("rotary: angles", in[kAnglesOfX], x);
}

void Run(const Instruction& in, Context& context) {
  const Operand &x = in[kX], &y = in[kY];
  const int64_t batch = x.dims[0], heads = x.dims[1], length = x.dims[2];
  if (x.Size() == 0) return;
  const int64_t blocks = CeilDiv(length, kTaskPositions);
  // Along what lies closest.
  const bool by_heads = x.strides[1] < x.strides[2];
  ForTasks(context, batch * blocks, x.Size(), [&](int64_t task) {
    const int64_t b = task / blocks, first = task % blocks * kTaskPositions,
                  count = std::min(kTaskPositions, length - first);
    RotaryRows rows;
    rows.angles = AnglesFrom(in[kAnglesOfX], b, first, in.attributes[kInterleaved] != 0);
    rows.inverse = in.attributes[kInverse] != 0;
    rows.head_dim = static_cast<int>(x.dims[3]);
    const int axis = by_heads ? 1 : 2;
    rows.x_row = x.strides[axis];
    rows.y_row = y.strides[axis];
    rows.rows = by_heads ? heads : count;
    const auto rotate = [&](int64_t h, int64_t t) {
      rows.x = HeadData(x, b, h) + t * x.strides[2];
      rows.y = HeadData(y, b, h) + t * y.strides[2];
      context.kernels.attention.rotate(rows);
    };
    if (!by_heads) {
      for (int64_t h = 0; h < heads; ++h) rotate(h, first);
      return;
    }
    const int64_t step = rows.angles.row;
    rows.angles.row = 0;
    for (int64_t t = first; t < first + count; ++t, rows.angles.data += step) rotate(0, t);
  });
}

void Reference(const Instruction& in) {
  TurnHeads(in[kAnglesOfX], in.attributes[kInterleaved] != 0, in.attributes[kInverse] != 0,
            ViewHeads<double>(in[kX]), ViewHeads<double>(in[kY]));
}

}  // namespace

const OpInfo kRotaryAnglesOp = {"rotaryAngles", 2,           1,           1,
                                CheckOfAngles,  NoWorkspace, RunOfAngles, ReferenceOfAngles};
const OpInfo kRotaryOp = {"rotary", 2, 1, 2, Check, NoWorkspace, Run, Reference};

}  // namespace heedful
