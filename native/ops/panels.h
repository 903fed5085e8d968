// Right operands of the matrix product that are packed once, into panels (kernel_table.h).
#pragma once

#include "ops/instruction.h"

namespace heedful {

constexpr const PanelLayout& LayoutOf(PanelFormat format) { return kPanelLayouts[static_cast<int>(format)]; }
// Rows of kPanelColumns words in a panel of a matrix with k rows.
constexpr int64_t PanelRows(PanelFormat format, int64_t k) {
  const PanelLayout& layout = LayoutOf(format);
  const int64_t steps = (k + layout.elements - 1) / layout.elements;
  return (steps * layout.words + layout.tail + kPanelColumns - 1) / kPanelColumns;
}
constexpr int64_t PanelWords(PanelFormat format, int64_t k) { return PanelRows(format, k) * kPanelColumns; }

// Throws Error of `op` unless `panels` is what a (k, n) matrix is packed into, and `format` numbers a format.
PanelFormat CheckPanels(const char* op, const Operand& panels, double format, int64_t k, int64_t n);

}  // namespace heedful
