#include "ops/panel_words.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/bf16.h"

namespace heedful {
namespace {

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

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr uint16_t kF16NaN = 0x7e00;
constexpr int kByteOffset = 128, kNibbleOffset = 8;

uint8_t* Bytes(uint32_t* words) { return reinterpret_cast<uint8_t*>(words); }
const uint8_t* Bytes(const uint32_t* words) { return reinterpret_cast<const uint8_t*>(words); }
// In panels numbers lie with their lowest byte first, whatever the CPU; all that are supported do so.
void PutHalf(uint32_t* words, int64_t index, uint16_t half) {
  std::memcpy(Bytes(words) + 2 * index, &half, 2);
}
uint16_t Half(const uint32_t* words, int64_t index) {
  uint16_t half;
  std::memcpy(&half, Bytes(words) + 2 * index, 2);
  return half;
}

constexpr int64_t kScaleWords = kPanelColumns / 2;

int8_t Integer(PanelFormat format, const uint32_t* integers, int64_t within, int64_t column) {
  if (format == PanelFormat::q4_0) {
    const uint8_t byte = Bytes(integers + within % 16 / 4 * kPanelColumns + column)[within % 4];
    return static_cast<int8_t>((within < 16 ? byte & 15 : byte >> 4) - kNibbleOffset);
  }
  return static_cast<int8_t>(Bytes(integers + within / 4 * kPanelColumns + column)[within % 4] - kByteOffset);
}

float Element(PanelFormat format, const uint32_t* panel, int64_t k, int64_t i, int64_t j) {
  const PanelLayout& layout = LayoutOf(format);
  const uint32_t* step = panel + i / layout.elements * layout.words;
  switch (format) {
    case PanelFormat::f32:
      return FromBits(step[j]);
    case PanelFormat::bf16:
      return FromBits(i % 2 ? step[j] & 0xffff0000 : step[j] << 16);
    case PanelFormat::f16:
      return FromF16(Half(step, j));
    case PanelFormat::int8: {
      const uint32_t* scales = panel + (k + layout.elements - 1) / layout.elements * layout.words;
      return FromBits(scales[j]) * Integer(format, step, i % layout.elements, j);
    }
    default:
      return FromF16(Half(step, j)) * Integer(format, step + kScaleWords, i % kBlockSize, j);
  }
}

}  // namespace

uint16_t RoundToF16(float x) {
  const uint32_t sign = Bits(x) >> 16 & 0x8000, bits = Bits(x) & 0x7fffffff;
  uint32_t half;
  if (bits > 0x7f800000) {
    half = kF16NaN;
  } else if (bits >= 0x477ff000) {  // 65520 and more
    half = 0x7c00;
  } else if (bits < 0x38800000) {  // denormal: the last bit of 0.5 + x is that of the smallest f16
    half = Bits(FromBits(bits) + 0.5f) - Bits(0.5f);
  } else {
    half = (bits + 0xfff + (bits >> 13 & 1) - 0x38000000) >> 13;
  }
  return static_cast<uint16_t>(sign | half);
}

float FromF16(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16, magnitude = (half & 0x7fffu) << 13;
  if ((half & 0x7c00) == 0x7c00) return FromBits(sign | 0x7f800000 | magnitude);
  return FromBits(sign | Bits(FromBits(magnitude) * 0x1p112f));
}

QuantizedBlock RoundBlock(PanelFormat format, const float* x) {
  float most = 0, extreme = 0;
  for (int i = 0; i < kBlockSize; ++i) {
    if (!std::isfinite(x[i])) return {{}, kF16NaN};
    if (std::fabs(x[i]) > most) {
      most = std::fabs(x[i]);
      extreme = x[i];
    }
  }
  const bool nibbles = format == PanelFormat::q4_0;
  const float scale = nibbles ? extreme / -8 : most / 127;
  // Where 1 / scale is infinite, scale is 0 in f16.
  const float inverse = scale != 0 && std::isfinite(1 / scale) ? 1 / scale : 0;
  QuantizedBlock block = {{}, RoundToF16(scale)};
  for (int i = 0; i < kBlockSize; ++i) {
    const float y = x[i] * inverse;
    block.q[i] = static_cast<int8_t>(nibbles ? std::min(15, static_cast<int>(y + 8.5f)) - 8 : std::round(y));
  }
  return block;
}

float Int8Scale(float largest) {
  if (!std::isfinite(largest)) return kNaN;
  return largest < 0x1p-118f ? 0 : FromBits(Bits(largest / 127) & ~0x7fu);
}

int8_t RoundToInt8(float x, float scale) {
  return scale > 0 ? static_cast<int8_t>(std::round(x / scale)) : 0;
}

void PackBlock(PanelFormat format, uint32_t* panel, int64_t index, int64_t column,
               const QuantizedBlock& block) {
  uint32_t* step = panel + index * LayoutOf(format).words;
  PutHalf(step, column, block.scale);
  step += kScaleWords + column;
  if (format == PanelFormat::q4_0) {
    for (int i = 0; i < kBlockSize / 2; ++i)
      Bytes(step + i / 4 * kPanelColumns)[i % 4] =
          static_cast<uint8_t>((block.q[i] + kNibbleOffset) | (block.q[i + 16] + kNibbleOffset) << 4);
  } else {
    for (int i = 0; i < kBlockSize; ++i)
      Bytes(step + i / 4 * kPanelColumns)[i % 4] = static_cast<uint8_t>(block.q[i] + kByteOffset);
  }
}

void PackColumn(uint32_t* panel, int64_t k, int64_t column, const int8_t* q, float scale) {
  const int64_t words = (k + 3) / 4;
  for (int64_t i = 0; i < 4 * words; ++i)
    Bytes(panel + i / 4 * kPanelColumns + column)[i % 4] =
        static_cast<uint8_t>((i < k ? q[i] : 0) + kByteOffset);
  panel[words * kPanelColumns + column] = Bits(scale);
}

void PackPanel(PanelFormat format, const float* columns, int64_t k, uint32_t* panel) {
  std::vector<int8_t> integers(format == PanelFormat::int8 ? k : 0);
  for (int64_t j = 0; j < kPanelColumns; ++j, columns += k) {
    switch (format) {
      case PanelFormat::f32:
        for (int64_t i = 0; i < k; ++i) panel[i * kPanelColumns + j] = Bits(columns[i]);
        break;
      case PanelFormat::bf16:
        for (int64_t i = 0; i < k; i += 2) {
          const uint32_t high = i + 1 < k ? RoundToBf16(columns[i + 1]).bits : 0;
          panel[i / 2 * kPanelColumns + j] = RoundToBf16(columns[i]).bits | high << 16;
        }
        break;
      case PanelFormat::f16:
        for (int64_t i = 0; i < k; ++i) PutHalf(panel, i * kPanelColumns + j, RoundToF16(columns[i]));
        break;
      case PanelFormat::int8: {
        float largest = 0;
        for (int64_t i = 0; i < k; ++i)
          largest = std::isfinite(columns[i]) ? std::max(largest, std::fabs(columns[i])) : kNaN;
        const float scale = Int8Scale(largest);
        for (int64_t i = 0; i < k; ++i) integers[i] = RoundToInt8(columns[i], scale);
        PackColumn(panel, k, j, integers.data(), scale);
        break;
      }
      default:
        for (int64_t i = 0; i < k; i += kBlockSize) {
          float block[kBlockSize] = {};
          std::copy_n(columns + i, std::min<int64_t>(kBlockSize, k - i), block);
          PackBlock(format, panel, i / kBlockSize, j, RoundBlock(format, block));
        }
    }
  }
}

int64_t FileRowBytes(PanelFormat format, int64_t k) {
  switch (format) {
    case PanelFormat::f32:
      return 4 * k;
    case PanelFormat::q8_0:
      return k / kBlockSize * (2 + kBlockSize);
    case PanelFormat::q4_0:
      return k / kBlockSize * (2 + kBlockSize / 2);
    default:
      return 2 * k;
  }
}

namespace {

// Blocks of GGML: a scale in f16, then 32 bytes of q or 16 of pairs q[i] | q[i + 16] << 4. Panels have the
// same words, but q + 128 instead of q.
void PackFileBlocks(PanelFormat format, const uint8_t* rows, int64_t count, int64_t k, uint32_t* panel) {
  const int64_t block_bytes = FileRowBytes(format, kBlockSize), words = (block_bytes - 2) / 4;
  const uint32_t offset = format == PanelFormat::q8_0 ? kByteOffset * 0x01010101u : 0;
  const uint32_t zero = format == PanelFormat::q8_0 ? kByteOffset * 0x01010101u : kNibbleOffset * 0x11111111u;
  for (int64_t i = 0; i < k / kBlockSize; ++i, rows += block_bytes) {
    uint32_t* step = panel + i * LayoutOf(format).words;
    for (int64_t j = 0; j < kPanelColumns; ++j) {
      const uint8_t* block = rows + j * FileRowBytes(format, k);
      uint16_t scale = 0;
      if (j < count) std::memcpy(&scale, block, 2);
      PutHalf(step, j, scale);
      for (int64_t w = 0; w < words; ++w) {
        uint32_t word = zero;
        if (j < count) {
          std::memcpy(&word, block + 2 + 4 * w, 4);
          word ^= offset;
        }
        step[kScaleWords + w * kPanelColumns + j] = word;
      }
    }
  }
}

// Units of kBytes (a number, or two of bf16), which panels have as files do, side by side for all columns.
template <int kBytes>
void PackUnits(const uint8_t* rows, int64_t count, int64_t units, int64_t row_bytes, uint32_t* panel) {
  // A line of each row at a time: rows that are multiples of 4 KiB apart share places of the cache.
  constexpr int64_t kLine = 64 / kBytes;
  for (int64_t first = 0; first < units; first += kLine) {
    const int64_t line = std::min(kLine, units - first);
    uint8_t* to = Bytes(panel) + first * kPanelColumns * kBytes;
    for (int64_t j = 0; j < count; ++j) {
      const uint8_t* from = rows + j * row_bytes + first * kBytes;
      for (int64_t i = 0; i < line; ++i)
        std::memcpy(to + (i * kPanelColumns + j) * kBytes, from + i * kBytes, kBytes);
    }
  }
}

uint16_t HalfAt(const uint8_t* bytes) {
  uint16_t half;
  std::memcpy(&half, bytes, 2);
  return half;
}

}  // namespace

void PackFileRows(PanelFormat format, const uint8_t* rows, int64_t count, int64_t k, uint32_t* panel) {
  const int64_t row_bytes = FileRowBytes(format, k);
  std::fill_n(panel, PanelWords(format, k), 0);
  if (format == PanelFormat::q8_0 || format == PanelFormat::q4_0) {
    PackFileBlocks(format, rows, count, k, panel);
    return;
  }
  if (format == PanelFormat::f16) {
    PackUnits<2>(rows, count, k, row_bytes, panel);
  } else {
    PackUnits<4>(rows, count, row_bytes / 4, row_bytes, panel);
    // Half a pair of bf16.
    if (row_bytes % 4) {
      for (int64_t j = 0; j < count; ++j)
        PutHalf(panel + row_bytes / 4 * kPanelColumns, 2 * j, HalfAt(rows + j * row_bytes + row_bytes - 2));
    }
  }
}

void UnpackColumn(PanelFormat format, const uint32_t* panel, int64_t k, int64_t column, float* y) {
  for (int64_t i = 0; i < k; ++i) y[i] = Element(format, panel, k, i, column);
}

void UnpackRows(PanelFormat format, const uint32_t* panel, int64_t k, int64_t first, int64_t rows, float* y) {
  for (int64_t i = first; i < first + rows; ++i, y += kPanelColumns) {
    for (int64_t j = 0; j < kPanelColumns; ++j) y[j] = Element(format, panel, k, i, j);
  }
}

}  // namespace heedful
