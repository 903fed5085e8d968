// Vec of plain C++: four lanes as an array, so that a compiler may use what the baseline of the architecture
// has. The interface that every vec_*.h gives (semantics per lane, IEEE single precision, round to nearest
// even):
//
//   Vec::kLanes; Load Store LoadPartial StorePartial (n lanes, 0 ≤ n ≤ kLanes; the rest reads as 0 and is not
//   written); Set1 Zero; + − * /; Fma(a, b, c) = a·b + c, Fnma = c − a·b; Max Min (NaN in either operand may
//   be dropped); Abs Sqrt Round (to nearest even); ScaleB(x, n) = x·2ⁿ for integral n; Mask: Less(a, b),
//   LessEqual, Equal, IsNaN; Select(mask, a, b) = mask ? a : b; CopySign(magnitude, sign); SplitExponent(x,
//   &m) = e with x = m·2ᵉ, m in [√½, √2) for normal x > 0; ReduceAdd ReduceMax ReduceMin (a fixed tree);
//   Broadcast(p): all lanes *p, in a register of its own for several uses; Prefetch(p): p's cache line is to
//   be read soon, PrefetchFar(p): later, into the second-level cache; TransposeBlock(src, src_ld, dst,
//   dst_ld): dst[j·dst_ld + i] = src[i·src_ld + j], i, j < kLanes.
#pragma once

#include <stdint.h>
#include <string.h>

namespace heedful::scalar {
namespace {

struct Vec {
  static constexpr int kLanes = 4;
  float v[kLanes];
};
struct Mask {
  bool v[Vec::kLanes];
};

inline float FromBits(uint32_t u) {
  float f;
  memcpy(&f, &u, 4);
  return f;
}
inline uint32_t ToBits(float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  return u;
}

template <class F>
inline Vec Map(F f) {
  Vec r;
  for (int i = 0; i < Vec::kLanes; ++i) r.v[i] = f(i);
  return r;
}
template <class F>
inline Mask MapMask(F f) {
  Mask r;
  for (int i = 0; i < Vec::kLanes; ++i) r.v[i] = f(i);
  return r;
}

inline Vec Set1(float x) {
  return Map([&](int) { return x; });
}
inline Vec Zero() { return Set1(0); }
inline Vec Broadcast(const float* p) { return Set1(*p); }
inline void Prefetch(const float*) {}
inline void PrefetchFar(const char*) {}
inline Vec Load(const float* p) {
  return Map([&](int i) { return p[i]; });
}
inline void Store(float* p, Vec a) {
  for (int i = 0; i < Vec::kLanes; ++i) p[i] = a.v[i];
}
inline Vec LoadPartial(const float* p, int n) {
  return Map([&](int i) { return i < n ? p[i] : 0.0f; });
}
inline void StorePartial(float* p, Vec a, int n) {
  for (int i = 0; i < n; ++i) p[i] = a.v[i];
}
inline Vec operator+(Vec a, Vec b) {
  return Map([&](int i) { return a.v[i] + b.v[i]; });
}
inline Vec operator-(Vec a, Vec b) {
  return Map([&](int i) { return a.v[i] - b.v[i]; });
}
inline Vec operator*(Vec a, Vec b) {
  return Map([&](int i) { return a.v[i] * b.v[i]; });
}
inline Vec operator/(Vec a, Vec b) {
  return Map([&](int i) { return a.v[i] / b.v[i]; });
}
inline Vec Fma(Vec a, Vec b, Vec c) { return a * b + c; }
inline Vec Fnma(Vec a, Vec b, Vec c) { return c - a * b; }
inline Vec Max(Vec a, Vec b) {
  return Map([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec Min(Vec a, Vec b) {
  return Map([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec Abs(Vec a) {
  return Map([&](int i) { return FromBits(ToBits(a.v[i]) & 0x7fffffffu); });
}
inline Vec Sqrt(Vec a) {
  return Map([&](int i) { return __builtin_sqrtf(a.v[i]); });
}
inline Vec Round(Vec a) {
  // Adding and subtracting 1.5·2²³ leaves the integer part; beyond 2²² there is nothing to round.
  return Map([&](int i) {
    const float x = a.v[i], t = (x + 12582912.0f) - 12582912.0f;
    return x > -4194304.0f && x < 4194304.0f ? t : x;
  });
}
inline Vec ScaleB(Vec a, Vec n) {
  return Map([&](int i) {
    const float c = n.v[i] < -252.0f ? -252.0f : n.v[i] > 252.0f ? 252.0f : n.v[i];
    const int whole = static_cast<int>(c), half = whole / 2;
    return a.v[i] * FromBits(static_cast<uint32_t>(half + 127) << 23) *
           FromBits(static_cast<uint32_t>(whole - half + 127) << 23);
  });
}
inline Mask Less(Vec a, Vec b) {
  return MapMask([&](int i) { return a.v[i] < b.v[i]; });
}
inline Mask LessEqual(Vec a, Vec b) {
  return MapMask([&](int i) { return a.v[i] <= b.v[i]; });
}
inline Mask Equal(Vec a, Vec b) {
  return MapMask([&](int i) { return a.v[i] == b.v[i]; });
}
inline Mask IsNaN(Vec a) {
  return MapMask([&](int i) { return a.v[i] != a.v[i]; });
}
inline Vec Select(Mask m, Vec a, Vec b) {
  return Map([&](int i) { return m.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec CopySign(Vec a, Vec s) {
  return Map(
      [&](int i) { return FromBits((ToBits(a.v[i]) & 0x7fffffffu) | (ToBits(s.v[i]) & 0x80000000u)); });
}
inline Vec SplitExponent(Vec x, Vec* m) {
  Vec e;
  for (int i = 0; i < Vec::kLanes; ++i) {
    const uint32_t u = ToBits(x.v[i]) - 0x3f3504f3u;  // √½
    e.v[i] = static_cast<float>(static_cast<int32_t>(u) >> 23);
    m->v[i] = FromBits((u & 0x007fffffu) + 0x3f3504f3u);
  }
  return e;
}
inline float ReduceAdd(Vec a) { return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]); }
inline float ReduceMax(Vec a) {
  const float x = a.v[0] > a.v[2] ? a.v[0] : a.v[2], y = a.v[1] > a.v[3] ? a.v[1] : a.v[3];
  return x > y ? x : y;
}
inline float ReduceMin(Vec a) {
  const float x = a.v[0] < a.v[2] ? a.v[0] : a.v[2], y = a.v[1] < a.v[3] ? a.v[1] : a.v[3];
  return x < y ? x : y;
}
inline void TransposeBlock(const float* src, int64_t src_ld, float* dst, int64_t dst_ld) {
  for (int i = 0; i < Vec::kLanes; ++i) {
    for (int j = 0; j < Vec::kLanes; ++j) dst[j * dst_ld + i] = src[i * src_ld + j];
  }
}

}  // namespace
}  // namespace heedful::scalar
