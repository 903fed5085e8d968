// quantize:    panels = x (k, n), f32 or f64, one of its two strides 1, rounded to the format and packed.
// dequantize:  y (k, n), f32 or f64, rows contiguous = the numbers that panels hold.
//
// panels (⌈n / 32⌉, ⌈k / e⌉, 32) i32, contiguous: kernel_table.h says what lies in them. Rounding: f32 none;
// bf16 to nearest even, relative error at most 2⁻⁸ (2⁻⁹ of the next power of two), NaN stays NaN, what is
// beyond the largest becomes infinite.
#include "ops/panels.h"

#include <algorithm>
#include <cstring>

#include "ops/op_list.h"
#include "ops/operands.h"

namespace heedful {
namespace {

// Elements of k that go through the stack at once; begins a word in every format.
constexpr int64_t kBlockRows = 64;

uint32_t Bits(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
float FromBits(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

uint32_t RoundToBf16(float x) {
  const uint32_t bits = Bits(x);
  return (x == x ? bits + 0x7fff + (bits >> 16 & 1) : bits | 0x400000) >> 16;
}

// Rows of kPanelColumns numbers to words; rows beyond `rows`, up to a whole word, are zero.
void PackRows(PanelFormat format, const float* x, int64_t rows, uint32_t* words) {
  if (format == PanelFormat::f32) {
    std::memcpy(words, x, rows * kPanelColumns * sizeof(float));
    return;
  }
  for (int64_t i = 0; i < rows; i += 2, x += 2 * kPanelColumns, words += kPanelColumns) {
    for (int64_t j = 0; j < kPanelColumns; ++j) {
      const uint32_t high = i + 1 < rows ? RoundToBf16(x[kPanelColumns + j]) : 0;
      words[j] = RoundToBf16(x[j]) | high << 16;
    }
  }
}

// Columns [first, first + kPanelColumns) of x to one panel.
template <class T>
void PackPanel(PanelFormat format, const Operand& x, int64_t first, uint32_t* panel) {
  const int64_t k = x.dims[0], columns = std::min<int64_t>(kPanelColumns, x.dims[1] - first);
  for (int64_t i = 0; i < k; i += kBlockRows) {
    float block[kBlockRows * kPanelColumns] = {};
    const T* source = x.As<T>() + i * x.strides[0] + first * x.strides[1];
    const int64_t rows = std::min(kBlockRows, k - i);
    if (x.strides[1] == 1) {
      for (int64_t r = 0; r < rows; ++r)
        std::copy_n(source + r * x.strides[0], columns, block + r * kPanelColumns);
    } else {
      for (int64_t j = 0; j < columns; ++j) {
        for (int64_t r = 0; r < rows; ++r)
          block[r * kPanelColumns + j] = static_cast<float>(source[r * x.strides[0] + j * x.strides[1]]);
      }
    }
    PackRows(format, block, rows, panel + i / PanelElements(format) * kPanelColumns);
  }
}

template <class T>
void UnpackPanel(PanelFormat format, const uint32_t* panel, int64_t first, const Operand& y) {
  const int64_t k = y.dims[0], columns = std::min<int64_t>(kPanelColumns, y.dims[1] - first);
  for (int64_t i = 0; i < k; i += kBlockRows) {
    float block[kBlockRows * kPanelColumns];
    const int64_t rows = std::min(kBlockRows, k - i);
    UnpackRows(format, panel, i, rows, block);
    for (int64_t r = 0; r < rows; ++r)
      std::copy_n(block + r * kPanelColumns, columns,
                  y.As<T>() + (i + r) * y.strides[0] + first * y.strides[1]);
  }
}

PanelFormat FormatOf(const Instruction& in) {
  return static_cast<PanelFormat>(static_cast<int>(in.attributes[0]));
}

int64_t PanelWords(PanelFormat format, int64_t k) { return PanelRows(format, k) * kPanelColumns; }

void CheckQuantize(const Instruction& in) {
  const Operand &x = in[0], &panels = in[1];
  const OperandCheck check("quantize", x.dtype);
  check.Float("x", x);
  check.Require(x.rank == 2, "x must have 2 dimensions, not " + ShapeText(x));
  CheckPanels("quantize", panels, in.attributes[0], x.dims[0], x.dims[1]);
}

template <class T>
void QuantizePanel(const Instruction& in, int64_t panel) {
  const PanelFormat format = FormatOf(in);
  PackPanel<T>(format, in[0], panel * kPanelColumns,
               in[1].As<uint32_t>() + panel * PanelWords(format, in[0].dims[0]));
}

void RunQuantize(const Instruction& in, Context& context) {
  context.Parallel(in[1].dims[0], [&](int64_t panel, int) { QuantizePanel<float>(in, panel); });
}

void ReferenceQuantize(const Instruction& in) {
  for (int64_t panel = 0; panel < in[1].dims[0]; ++panel) QuantizePanel<double>(in, panel);
}

void CheckDequantize(const Instruction& in) {
  const Operand &panels = in[0], &y = in[1];
  const OperandCheck check("dequantize", y.dtype);
  check.Float("y", y);
  check.Require(y.rank == 2, "y must have 2 dimensions, not " + ShapeText(y));
  check.Rows("y", y);
  CheckPanels("dequantize", panels, in.attributes[0], y.dims[0], y.dims[1]);
}

template <class T>
void DequantizePanel(const Instruction& in, int64_t panel) {
  const PanelFormat format = FormatOf(in);
  UnpackPanel<T>(format, in[0].As<uint32_t>() + panel * PanelWords(format, in[1].dims[0]),
                 panel * kPanelColumns, in[1]);
}

void RunDequantize(const Instruction& in, Context& context) {
  context.Parallel(in[0].dims[0], [&](int64_t panel, int) { DequantizePanel<float>(in, panel); });
}

void ReferenceDequantize(const Instruction& in) {
  for (int64_t panel = 0; panel < in[0].dims[0]; ++panel) DequantizePanel<double>(in, panel);
}

}  // namespace

PanelFormat CheckPanels(const char* op, const Operand& panels, double format, int64_t k, int64_t n) {
  const OperandCheck check(op, DType::kF32);
  check.Choice("format", format, kPanelFormatCount);
  check.Int("panels", panels);
  const auto chosen = static_cast<PanelFormat>(static_cast<int>(format));
  const int64_t count = (n + kPanelColumns - 1) / kPanelColumns, rows = PanelRows(chosen, k);
  check.Require(panels.rank == 3 && panels.dims[0] == count && panels.dims[1] == rows &&
                    panels.dims[2] == kPanelColumns,
                "panels of a (" + std::to_string(k) + ", " + std::to_string(n) +
                    ") matrix must have the shape [" + std::to_string(count) + ", " + std::to_string(rows) +
                    ", " + std::to_string(kPanelColumns) + "], not " + ShapeText(panels));
  check.Contiguous("panels", panels);
  return chosen;
}

void UnpackRows(PanelFormat format, const uint32_t* panel, int64_t first, int64_t rows, float* y) {
  for (int64_t i = first; i < first + rows; ++i, y += kPanelColumns) {
    const uint32_t* words = panel + i / PanelElements(format) * kPanelColumns;
    for (int64_t j = 0; j < kPanelColumns; ++j) {
      const uint32_t word = words[j];
      y[j] = FromBits(format == PanelFormat::f32 ? word : i % 2 ? word & 0xffff0000 : word << 16);
    }
  }
}

const OpInfo kQuantizeOp = {
    .name = "quantize",
    .inputs = 1,
    .outputs = 1,
    .attributes = 1,
    .check = CheckQuantize,
    .workspace = NoWorkspace,
    .run = RunQuantize,
    .reference = ReferenceQuantize,
};

const OpInfo kDequantizeOp = {
    .name = "dequantize",
    .inputs = 1,
    .outputs = 1,
    .attributes = 1,
    .check = CheckDequantize,
    .workspace = NoWorkspace,
    .run = RunDequantize,
    .reference = ReferenceDequantize,
    .integers_are_data = true,
};

}  // namespace heedful
