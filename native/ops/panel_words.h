// The words of panels (kernel_table.h): how numbers are rounded to a format, how what was rounded is packed,
// and how it is read again. Plain loops: the words must not depend on the instruction set, since they outlive
// a change of it.
#pragma once

#include "ops/panels.h"

namespace heedful {

constexpr int kBlockSize = 32;  // of k: numbers that share a scale in q8_0 and q4_0

// To nearest even; NaN stays NaN, beyond the largest: infinite.
uint16_t RoundToBf16(float x);
uint16_t RoundToF16(float x);
float FromF16(uint16_t bits);

// ---- rounding
// ---------------------------------------------------------------------------------------------------

// A block in q8_0 or q4_0: x[i] ≈ scale · q[i].
struct QuantizedBlock {
  int8_t q[kBlockSize];
  uint16_t scale;  // f16
};
// As GGML does it (quantize_row_q8_0_ref, quantize_row_q4_0_ref): q8_0: scale = max |x| / 127, q = x / scale,
// halves away from zero; q4_0: scale = (the x of largest magnitude) / −8, q = ⌊x / scale + 8.5⌋ − 8, at
// most 7. A number that is not finite makes the scale NaN.
QuantizedBlock RoundBlock(PanelFormat format, const float* x);

// The scale of a column in int8: max |x| / 127 with its last 7 bits cut off, so that scale · q needs no
// rounding. 0 below 2⁻¹¹⁸; NaN where a number is not finite.
float Int8Scale(float largest);
// x / scale, halves away from zero.
int8_t RoundToInt8(float x, float scale);

// ---- packing
// ----------------------------------------------------------------------------------------------------

// Block `index` of a column of a panel in q8_0 or q4_0.
void PackBlock(PanelFormat format, uint32_t* panel, int64_t index, int64_t column,
               const QuantizedBlock& block);
// A column in int8: k integers of −127 to 127 and their scale.
void PackColumn(uint32_t* panel, int64_t k, int64_t column, const int8_t* q, float scale);

// Bytes of k numbers in a row of a file: f32, bf16 and f16 as they are, q8_0 and q4_0 in GGML's blocks of 34
// and 18 bytes (f16 scale, then integers). Rows of blocks have k % kBlockSize == 0; int8 has no such rows.
int64_t FileRowBytes(PanelFormat format, int64_t k);
// `count` such rows, one after another, to the columns of one panel; 0 in the columns beyond.
void PackFileRows(PanelFormat format, const uint8_t* rows, int64_t count, int64_t k, uint32_t* panel);

// Columns of kPanelColumns numbers each, `k` of them in every column, one column after another, to one panel.
void PackPanel(PanelFormat format, const float* columns, int64_t k, uint32_t* panel);

// y[i, j] = element (first + i, j) of one panel of a matrix with k rows, i < rows, j < kPanelColumns.
void UnpackRows(PanelFormat format, const uint32_t* panel, int64_t k, int64_t first, int64_t rows, float* y);
// y[i] = element (i, column), i < k.
void UnpackColumn(PanelFormat format, const uint32_t* panel, int64_t k, int64_t column, float* y);

}  // namespace heedful
