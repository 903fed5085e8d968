// Rotary embedding: pairs of x turn by angle(t, i) = position(t) · frequencies[i].
//
//   (y0, y1) = scale · (x0 · cos − x1 · sin, x1 · cos + x0 · sin)
//   pair i of R / 2 is (i, i + R / 2), or (2i, 2i + 1) when interleaved; elements ≥ R are copied; inverse:
//   −angle.
// x [B, H, T, D], positions i32 [T] or [B, T], frequencies [R / 2], R ≤ D → y [B, H, T, D] {interleaved,
// inverse, scale} Layouts: x, y: last dimension contiguous, other strides arbitrary; positions any
// strides, frequencies contiguous. Contract: y is x (same strides) or does not overlap it. The inverse is the
// gradient. Accuracy: angles, sines and cosines in double, rounded to float; the rotation in float. Source:
// RoFormer (Su et al. 2021), equation 34.

#include "kernels/reference/rotary.h"

#include "ops/chunks.h"
#include "ops/heads.h"
#include "ops/op_list.h"

namespace heedful {
namespace {

enum { kX, kPositions, kFrequencies, kY };
enum { kInterleaved, kInverse, kScale };

// Positions of one task: for the sines, and for the rows of all heads.
constexpr int64_t kTaskPositions = 16;

void Check(const Instruction& in) {
  const Operand &x = in[kX], &positions = in[kPositions], &frequencies = in[kFrequencies], &y = in[kY];
  CheckHeads("rotary: x", x, x.dtype);
  CheckHeadsOutput("rotary: y", y, x.dtype);
  CheckHeadDims("rotary: y", y, x.dims[0], x.dims[1], x.dims[2], x.dims[3]);
  HEEDFUL_CHECK(positions && positions.dtype == DType::kI32, "rotary: positions must be i32");
  HEEDFUL_CHECK((positions.rank == 1 || (positions.rank == 2 && positions.dims[0] == x.dims[0])) &&
                    positions.DimFromEnd(0) == x.dims[2],
                "rotary: positions must be [length] or [batch, length] of x " + ShapeText(x) + ", but is " +
                    ShapeText(positions));
  HEEDFUL_CHECK(frequencies && frequencies.dtype == x.dtype, "rotary: frequencies must have the dtype of x");
  HEEDFUL_CHECK(frequencies.rank == 1 && frequencies.Contiguous() && frequencies.dims[0] <= x.dims[3] / 2,
                "rotary: frequencies must be one per pair of the last dimension of x " + ShapeText(x) +
                    ", but is " + ShapeText(frequencies));
}

// Rows of the table of sines: one per position, for each sequence that has its own.
int64_t TableRows(const Instruction& in) { return in[kPositions].Size(); }

size_t Workspace(const Instruction& in, int) {
  return sizeof(float) * 2 * static_cast<size_t>(TableRows(in) * in[kFrequencies].dims[0]);
}

int64_t PositionOffset(const Operand& positions, int64_t b, int64_t t) {
  return (positions.rank == 2 ? b * positions.strides[0] : 0) + t * positions.StrideFromEnd(0);
}

void Run(const Instruction& in, Context& context) {
  const Operand &x = in[kX], &positions = in[kPositions], &frequencies = in[kFrequencies], &y = in[kY];
  const int64_t batch = x.dims[0], heads = x.dims[1], length = x.dims[2], pairs = frequencies.dims[0];
  if (x.Size() == 0) return;
  const bool shared = positions.rank == 1, interleaved = in.attributes[kInterleaved] != 0;
  const double sign = in.attributes[kInverse] != 0 ? -1 : 1, scale = in.attributes[kScale];
  float* const cosine = reinterpret_cast<float*>(context.workspace);
  float* const sine = cosine + TableRows(in) * pairs;
  const int64_t blocks = CeilDiv(length, kTaskPositions);
  const float* table = frequencies.As<float>();
  const AttentionKernels& kernels = context.kernels.attention;

  // body(b, first, count) for the positions of task (b, block).
  const auto for_positions = [&](int64_t task, auto&& body) {
    const int64_t first = task % blocks * kTaskPositions;
    body(task / blocks, first, std::min(kTaskPositions, length - first));
  };
  ForTasks(context, (shared ? 1 : batch) * blocks, TableRows(in) * pairs * 2, [&](int64_t task) {
    for_positions(task, [&](int64_t b, int64_t first, int64_t count) {
      for (int64_t t = first; t < first + count; ++t) {
        const double position = sign * positions.As<int32_t>()[PositionOffset(positions, b, t)];
        const int64_t row = (b * length + t) * pairs;
        kernels.rotary_angles(position, table, pairs, scale, cosine + row, sine + row);
      }
    });
  });
  // Along what lies closest.
  const bool by_heads = x.strides[1] < x.strides[2];
  ForTasks(context, batch * blocks, x.Size(), [&](int64_t task) {
    for_positions(task, [&](int64_t b, int64_t first, int64_t count) {
      const int64_t angles = ((shared ? 0 : b * length) + first) * pairs;
      RotaryRows rows{nullptr,
                      x.strides[2],
                      nullptr,
                      y.strides[2],
                      count,
                      cosine + angles,
                      sine + angles,
                      pairs,
                      static_cast<int>(pairs),
                      static_cast<int>(x.dims[3]),
                      interleaved};
      const auto rotate = [&](int64_t h, int64_t t) {
        rows.x = HeadData(x, b, h) + t * x.strides[2];
        rows.y = HeadData(y, b, h) + t * y.strides[2];
        kernels.rotate(rows);
      };
      if (!by_heads) {
        for (int64_t h = 0; h < heads; ++h) rotate(h, first);
        return;
      }
      rows.x_row = x.strides[1];
      rows.y_row = y.strides[1];
      rows.rows = heads;
      rows.angle_row = 0;
      for (int64_t t = first; t < first + count; ++t) {
        rotate(0, t);
        rows.cosine += pairs;
        rows.sine += pairs;
      }
    });
  });
}

void Reference(const Instruction& in) {
  const Operand &positions = in[kPositions], &frequencies = in[kFrequencies];
  reference::Rotary(
      ViewHeads<double>(in[kX]),
      [&](int64_t b, int64_t t) { return positions.As<int32_t>()[PositionOffset(positions, b, t)]; },
      [&](int64_t i) { return frequencies.As<double>()[i * frequencies.strides[0]]; }, frequencies.dims[0],
      ViewHeads<double>(in[kY]), in.attributes[kInterleaved] != 0, in.attributes[kInverse] != 0,
      in.attributes[kScale]);
}

}  // namespace

const OpInfo kRotaryOp = {"rotary", 3, 1, 3, Check, Workspace, Run, Reference};

}  // namespace heedful
