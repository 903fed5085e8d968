// quantize:    panels = x (k, n), f32 or f64, one of its two strides 1, rounded to the format and packed.
// dequantize:  y (k, n), f32 or f64, rows contiguous = the numbers that panels hold.
//
// panels (⌈n / 32⌉, rows, 32) i32, contiguous: kernel_table.h says what lies in them, panel_words.h how
// numbers are rounded. int8 holds at most kMaxInt8Rows rows: sums of so many products fit 32 bits.
#include "ops/panels.h"

#include <algorithm>
#include <vector>

#include "ops/op_list.h"
#include "ops/operands.h"
#include "ops/panel_words.h"

namespace heedful {
namespace {

constexpr int64_t kMaxInt8Rows = 131072;

// Rows that go through the stack at once.
constexpr int64_t kBlockRows = 64;

// Columns [first, first + kPanelColumns) of x, 0 beyond it, to one panel.
template <class T>
void PackColumns(PanelFormat format, const Operand& x, int64_t first, uint32_t* panel) {
  const int64_t k = x.dims[0], count = std::min<int64_t>(kPanelColumns, x.dims[1] - first);
  std::vector<float> columns(kPanelColumns * k);
  const T* source = x.As<T>() + first * x.strides[1];
  if (x.strides[1] == 1) {
    for (int64_t i = 0; i < k; ++i) {
      for (int64_t j = 0; j < count; ++j)
        columns[j * k + i] = static_cast<float>(source[i * x.strides[0] + j]);
    }
  } else {
    for (int64_t j = 0; j < count; ++j) {
      for (int64_t i = 0; i < k; ++i)
        columns[j * k + i] = static_cast<float>(source[i * x.strides[0] + j * x.strides[1]]);
    }
  }
  std::fill_n(panel, PanelWords(format, k), 0);
  PackPanel(format, columns.data(), k, panel);
}

template <class T>
void UnpackPanel(PanelFormat format, const uint32_t* panel, int64_t first, const Operand& y) {
  const int64_t k = y.dims[0], columns = std::min<int64_t>(kPanelColumns, y.dims[1] - first);
  for (int64_t i = 0; i < k; i += kBlockRows) {
    float block[kBlockRows * kPanelColumns];
    const int64_t rows = std::min(kBlockRows, k - i);
    UnpackRows(format, panel, k, i, rows, block);
    for (int64_t r = 0; r < rows; ++r)
      std::copy_n(block + r * kPanelColumns, columns,
                  y.As<T>() + (i + r) * y.strides[0] + first * y.strides[1]);
  }
}

PanelFormat FormatOf(const Instruction& in) {
  return static_cast<PanelFormat>(static_cast<int>(in.attributes[0]));
}

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
  PackColumns<T>(format, in[0], panel * kPanelColumns,
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
  check.Require(chosen != PanelFormat::int8 || k <= kMaxInt8Rows,
                "int8 holds at most " + std::to_string(kMaxInt8Rows) + " rows, not " + std::to_string(k));
  const int64_t count = (n + kPanelColumns - 1) / kPanelColumns, rows = PanelRows(chosen, k);
  check.Require(panels.rank == 3 && panels.dims[0] == count && panels.dims[1] == rows &&
                    panels.dims[2] == kPanelColumns,
                "panels of a (" + std::to_string(k) + ", " + std::to_string(n) +
                    ") matrix must have the shape [" + std::to_string(count) + ", " + std::to_string(rows) +
                    ", " + std::to_string(kPanelColumns) + "], not " + ShapeText(panels));
  check.Contiguous("panels", panels);
  return chosen;
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
