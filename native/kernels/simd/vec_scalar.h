// Vec of four lanes without intrinsics, by the vector extension of GCC and Clang: a compiler uses what the
// baseline of the architecture has. The interface that every vec_*.h gives (semantics per lane, IEEE single
// precision, round to nearest even):
//
//   Vec::kLanes; Load Store LoadPartial StorePartial (n lanes, 0 ≤ n ≤ kLanes; the rest reads as 0 and is not
//   written); Set1 Zero; + − * /; Fma(a, b, c) = a·b + c, Fnma = c − a·b; Max Min (NaN in either operand may
//   be dropped); Abs Sqrt Round (to nearest even); ScaleB(x, n) = x·2ⁿ for integral n; Mask: Less(a, b),
//   LessEqual, Equal, IsNaN; Select(mask, a, b) = mask ? a : b; CopySign(magnitude, sign); SplitExponent(x,
//   &m) = e with x = m·2ᵉ, m in [√½, √2) for normal x > 0; ReduceAdd ReduceMax ReduceMin (a fixed tree);
//   Broadcast(p): all lanes *p, in a register of its own for several uses; Splat LoadSplat(p): the same for
//   the left operand of Fma and dot products, in whatever form multiplies fastest; Pin(v): v, in a register,
//   computed before what follows where a compiler is known to put it off; Prefetch(p): p's cache line is to
//   be read soon; TransposeBlock(src, src_ld, dst, dst_ld): dst[j·dst_ld + i] = src[i·src_ld + j], i, j <
//   kLanes; LowBf16 HighBf16: the bfloat16 in the lower or upper half of each lane; LoadBf16 LoadBf16Partial:
//   bfloat16 from memory; RoundBf16: to nearest even (NaN stays one, denormals are kept); StoreBf16
//   StoreBf16Partial: the upper halves to memory; LoadInt8(p): kLanes bytes with a sign; ReduceAddEach(v):
//   lane i is the sum of v[i], i < kLanes, by a fixed tree.
//
//   Lanes as 32-bit integers, in the same Vec:
//   LoadF16(p): kLanes numbers in f16 from memory; EvenBytes OddBytes (of each lane, as two 16-bit integers),
//   LowNibbles HighNibbles (of each byte); DotShorts(a, b, sum) = sum + the two products of 16-bit integers,
//   b from 0 to 255, |a| ≤ 127; IntsToFloats; SignedByte<i>: byte i of each lane as a number; StoreShorts(p,
//   x): whole numbers, each four of them as 16-bit integers in the order 0, 2, 1, 3.
#pragma once

#include <stdint.h>
#include <string.h>

namespace heedful::scalar {
namespace {

using Floats = float __attribute__((vector_size(16)));
using Words = int32_t __attribute__((vector_size(16)));

struct Vec {
  static constexpr int kLanes = 4;
  Floats v;
};
struct Mask {
  Words v;  // −1 or 0
};

// The same bits as another type.
inline Floats AsFloats(Words w) { return reinterpret_cast<Floats>(w); }
inline Words AsWords(Floats f) { return reinterpret_cast<Words>(f); }

constexpr int32_t kSignBit = INT32_MIN;

inline Vec Set1(float x) { return {Floats{x, x, x, x}}; }
inline Vec Zero() { return Set1(0); }
inline Vec Pin(Vec a) {
#if defined(__x86_64__)
  asm("" : "+x"(a.v));
#elif defined(__aarch64__)
  asm("" : "+w"(a.v));
#endif
  return a;
}
inline Vec Broadcast(const float* p) { return Set1(*p); }
using Splat = Vec;
inline Splat LoadSplat(const float* p) { return Broadcast(p); }
inline void Prefetch(const void*) {}
inline Vec Load(const float* p) {
  Vec r;
  memcpy(&r.v, p, sizeof r.v);
  return r;
}
inline void Store(float* p, Vec a) { memcpy(p, &a.v, sizeof a.v); }
inline Vec LoadPartial(const float* p, int n) {
  Vec r = Zero();
  for (int i = 0; i < n; ++i) r.v[i] = p[i];
  return r;
}
inline void StorePartial(float* p, Vec a, int n) {
  for (int i = 0; i < n; ++i) p[i] = a.v[i];
}
inline Vec operator+(Vec a, Vec b) { return {a.v + b.v}; }
inline Vec operator-(Vec a, Vec b) { return {a.v - b.v}; }
inline Vec operator*(Vec a, Vec b) { return {a.v * b.v}; }
inline Vec operator/(Vec a, Vec b) { return {a.v / b.v}; }
inline Vec Fma(Vec a, Vec b, Vec c) { return a * b + c; }
inline Vec Fnma(Vec a, Vec b, Vec c) { return c - a * b; }
inline Mask Less(Vec a, Vec b) { return {a.v < b.v}; }
inline Mask LessEqual(Vec a, Vec b) { return {a.v <= b.v}; }
inline Mask Equal(Vec a, Vec b) { return {a.v == b.v}; }
inline Mask IsNaN(Vec a) { return {a.v != a.v}; }
inline Vec Select(Mask m, Vec a, Vec b) { return {AsFloats((m.v & AsWords(a.v)) | (~m.v & AsWords(b.v)))}; }
inline Vec Max(Vec a, Vec b) { return Select(Less(b, a), a, b); }
inline Vec Min(Vec a, Vec b) { return Select(Less(a, b), a, b); }
inline Vec Abs(Vec a) { return {AsFloats(AsWords(a.v) & ~kSignBit)}; }
inline Vec Sqrt(Vec a) {
  for (int i = 0; i < Vec::kLanes; ++i) a.v[i] = __builtin_sqrtf(a.v[i]);
  return a;
}
inline Vec Round(Vec a) {
  // Adding and subtracting 1.5·2²³ leaves the integer part; beyond 2²² there is nothing to round.
  const Vec magic = Set1(12582912.0f);
  return Select(Less(Abs(a), Set1(4194304.0f)), (a + magic) - magic, a);
}
inline Vec ScaleB(Vec a, Vec n) {
  // In two steps, so that results near the ends of the range (and n = 128) come out right.
  const Vec bounded = Min(Set1(252.0f), Max(Set1(-252.0f), n));
  const Words whole = __builtin_convertvector(bounded.v, Words), half = whole >> 1;
  return {a.v * AsFloats((half + 127) << 23) * AsFloats((whole - half + 127) << 23)};
}
inline Vec CopySign(Vec a, Vec s) {
  return {AsFloats((AsWords(a.v) & ~kSignBit) | (AsWords(s.v) & kSignBit))};
}
inline Vec LowBf16(Vec a) { return {AsFloats(AsWords(a.v) << 16)}; }
inline Vec HighBf16(Vec a) { return {AsFloats(AsWords(a.v) & ~0xffff)}; }
inline Vec LoadBf16Partial(const uint16_t* p, int n) {
  Words w = {};
  for (int i = 0; i < n; ++i) w[i] = static_cast<int32_t>(static_cast<uint32_t>(p[i]) << 16);
  return {AsFloats(w)};
}
inline Vec LoadBf16(const uint16_t* p) { return LoadBf16Partial(p, Vec::kLanes); }
inline Vec RoundBf16(Vec a) {
  using Bits = uint32_t __attribute__((vector_size(16)));
  const Bits bits = reinterpret_cast<Bits>(a.v);
  const Words rounded = reinterpret_cast<Words>(bits + 0x7fff + (bits >> 16 & 1)) & ~0xffff;
  return Select(IsNaN(a), {AsFloats((AsWords(a.v) | 0x400000) & ~0xffff)}, {AsFloats(rounded)});
}
inline void StoreBf16Partial(uint16_t* p, Vec a, int n) {
  for (int i = 0; i < n; ++i) p[i] = static_cast<uint16_t>(static_cast<uint32_t>(AsWords(a.v)[i]) >> 16);
}
inline void StoreBf16(uint16_t* p, Vec a) { StoreBf16Partial(p, a, Vec::kLanes); }
inline Vec SplitExponent(Vec x, Vec* m) {
  constexpr int32_t kHalf = 0x3f3504f3;  // √½
  const Words u = AsWords(x.v) - kHalf;
  m->v = AsFloats((u & 0x007fffff) + kHalf);
  return {__builtin_convertvector(u >> 23, Floats)};
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
inline Vec LoadInt8(const void* p) {
  int8_t x[4];
  memcpy(x, p, sizeof x);
  return {__builtin_convertvector((Words{x[0], x[1], x[2], x[3]}), Floats)};
}
inline Vec ReduceAddEach(const Vec (&v)[4]) {
  Vec r;
  for (int i = 0; i < 4; ++i) r.v[i] = ReduceAdd(v[i]);
  return r;
}
inline void TransposeBlock(const float* src, int64_t src_ld, float* dst, int64_t dst_ld) {
  for (int i = 0; i < Vec::kLanes; ++i) {
    for (int j = 0; j < Vec::kLanes; ++j) dst[j * dst_ld + i] = src[i * src_ld + j];
  }
}

inline Vec LoadF16(const float* p) {
  Words w = {};
  for (int i = 0; i < Vec::kLanes; ++i) {
    uint16_t half;
    memcpy(&half, reinterpret_cast<const char*>(p) + i * sizeof half, sizeof half);
    w[i] = half;
  }
  const Words magnitude = (w & 0x7fff) << 13, special = (w & 0x7c00) == 0x7c00;
  const Words finite = AsWords(AsFloats(magnitude) * Set1(0x1p112f).v);
  return {AsFloats((w & 0x8000) << 16 | (special & (magnitude | 0x7f800000)) | (~special & finite))};
}
inline Vec EvenBytes(Vec a) { return {AsFloats(AsWords(a.v) & 0x00ff00ff)}; }
inline Vec OddBytes(Vec a) { return {AsFloats(AsWords(a.v) >> 8 & 0x00ff00ff)}; }
inline Vec LowNibbles(Vec a) { return {AsFloats(AsWords(a.v) & 0x0f0f0f0f)}; }
inline Vec HighNibbles(Vec a) { return {AsFloats(AsWords(a.v) >> 4 & 0x0f0f0f0f)}; }
inline Vec DotShorts(Vec a, Vec b, Vec sum) {
  const Words x = AsWords(a.v), y = AsWords(b.v);
  return {AsFloats(AsWords(sum.v) + (x << 16 >> 16) * (y << 16 >> 16) + (x >> 16) * (y >> 16))};
}
template <int kByte>
inline Vec SignedByte(Vec a) {
  return {__builtin_convertvector(AsWords(a.v) << (24 - 8 * kByte) >> 24, Floats)};
}
inline Vec IntsToFloats(Vec a) { return {__builtin_convertvector(AsWords(a.v), Floats)}; }
inline void StoreShorts(float* p, Vec a) {
  const int16_t shorts[] = {static_cast<int16_t>(a.v[0]), static_cast<int16_t>(a.v[2]),
                            static_cast<int16_t>(a.v[1]), static_cast<int16_t>(a.v[3])};
  memcpy(p, shorts, sizeof shorts);
}

}  // namespace
}  // namespace heedful::scalar
