// Rotary embedding: pairs of x turn by angle(t, i) = position(t) · frequencies[i].
//
//   (y0, y1) = scale · (x0 · cos − x1 · sin, x1 · cos + x0 · sin)
//   pair i of R / 2 is (i, i + R / 2), or (2i, 2i + 1) when interleaved; elements ≥ R are copied; inverse:
//   −angle.
// x [B, H, T, D], positions i32 [T] or [B, T], frequencies [R / 2], R ≤ D → y [B, H, T, D] {interleaved,
// inverse, scale} Layouts: x, y: last dimension contiguous, other strides arbitrary; positions and
// frequencies any strides. Contract: y is x (same strides) or does not overlap it. The inverse is the
// gradient. Accuracy: angles, sines and cosines in double, rounded to float; the rotation in float. Source:
// RoFormer (Su et al. 2021), equation 34.

#include "kernels/reference/rotary.h"

#include <cmath>

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
  HEEDFUL_CHECK(frequencies.rank == 1 && frequencies.dims[0] <= x.dims[3] / 2,
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
  const int64_t blocks = (length + kTaskPositions - 1) / kTaskPositions;

  // body(b, t) for the positions of task (b, block).
  const auto for_positions = [&](int64_t task, auto&& body) {
    const int64_t b = task / blocks, first = task % blocks * kTaskPositions;
    for (int64_t t = first; t < std::min(length, first + kTaskPositions); ++t) body(b, t);
  };
  context.Parallel((shared ? 1 : batch) * blocks, [&](int64_t task, int) {
    for_positions(task, [&](int64_t b, int64_t t) {
      const double position = sign * positions.As<int32_t>()[PositionOffset(positions, b, t)];
      for (int64_t i = 0; i < pairs; ++i) {
        const double angle = position * frequencies.As<float>()[i * frequencies.strides[0]];
        cosine[(b * length + t) * pairs + i] = static_cast<float>(scale * std::cos(angle));
        sine[(b * length + t) * pairs + i] = static_cast<float>(scale * std::sin(angle));
      }
    });
  });
  context.Parallel(batch * blocks, [&](int64_t task, int) {
    for_positions(task, [&](int64_t b, int64_t t) {
      const int64_t row = ((shared ? 0 : b * length) + t) * pairs;
      for (int64_t h = 0; h < heads; ++h) {
        context.kernels.attention.rotate(
            HeadData(x, b, h) + t * x.strides[2], HeadData(y, b, h) + t * y.strides[2], cosine + row,
            sine + row, static_cast<int>(2 * pairs), static_cast<int>(x.dims[3]), interleaved);
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
