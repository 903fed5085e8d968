// Right operands of the matrix product that are packed once, into panels (kernel_table.h): the shape of the
// words, and how a few rows become words and words become rows again. Plain loops: the words must not depend
// on the instruction set, since they outlive a change of it.
#pragma once

#include "ops/instruction.h"

namespace heedful {

// Elements along k that a word holds.
constexpr int64_t PanelElements(PanelFormat format) { return format == PanelFormat::bf16 ? 2 : 1; }
// Rows of kPanelColumns words in a panel of a matrix with k rows.
constexpr int64_t PanelRows(PanelFormat format, int64_t k) {
  return (k + PanelElements(format) - 1) / PanelElements(format);
}

// Throws Error of `op` unless `panels` is what a (k, n) matrix is packed into, and `format` numbers a format.
PanelFormat CheckPanels(const char* op, const Operand& panels, double format, int64_t k, int64_t n);

// y[i, j] = element (first + i, j) of one panel, i < rows, j < kPanelColumns; `first` begins a word.
void UnpackRows(PanelFormat format, const uint32_t* panel, int64_t first, int64_t rows, float* y);

}  // namespace heedful
