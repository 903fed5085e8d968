// bfloat16 by plain code: the upper half of an f32.
//
// Internal linkage on purpose: objects compiled for different CPUs may include this header, and none may lend
// its copy to another.
#pragma once

#include <stdint.h>
#include <string.h>

namespace heedful {
namespace {

struct Bf16 {
  uint16_t bits;
};

inline float Widen(Bf16 x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float y;
  memcpy(&y, &bits, sizeof y);
  return y;
}

// To nearest even. NaN stays one; beyond the largest: infinite.
inline Bf16 RoundToBf16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return {static_cast<uint16_t>((x == x ? bits + 0x7fff + (bits >> 16 & 1) : bits | 0x400000) >> 16)};
}

// Rounded once: bits that an f32 has no room for count too.
inline Bf16 RoundToBf16(double x) {
  float nearest = static_cast<float>(x);
  uint32_t bits;
  memcpy(&bits, &nearest, sizeof bits);
  const double magnitude = x < 0 ? -x : x;
  const double rounded = nearest < 0 ? -static_cast<double>(nearest) : static_cast<double>(nearest);
  // Towards zero, the last bit telling that there was more (Boldo & Melquiond 2008).
  if (rounded > magnitude) --bits;
  if (x == x && rounded != magnitude) bits |= 1;
  memcpy(&nearest, &bits, sizeof bits);
  return RoundToBf16(nearest);
}

}  // namespace
}  // namespace heedful
