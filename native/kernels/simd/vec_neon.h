// Vec of 4 lanes with AArch64 Advanced SIMD. The interface is described in vec_scalar.h.
#pragma once

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

namespace heedful::neon {
namespace {

struct Vec {
  static constexpr int kLanes = 4;
  float32x4_t v;
};
struct Mask {
  uint32x4_t v;
};

inline Vec Set1(float x) { return {vdupq_n_f32(x)}; }
inline Vec Zero() { return {vdupq_n_f32(0)}; }
inline Vec Pin(Vec a) {
  asm("" : "+w"(a.v));
  return a;
}
inline Vec Broadcast(const float* p) { return {vld1q_dup_f32(p)}; }
// Volatile: GCC takes a function that only prefetches for one without effect, and drops the calls.
inline void Prefetch(const void* p) {
  asm volatile("prfm pldl1keep, %0" : : "Q"(*static_cast<const char*>(p)));
}
inline Vec Load(const float* p) { return {vld1q_f32(p)}; }
inline void Store(float* p, Vec a) { vst1q_f32(p, a.v); }
// Lane by lane, in registers: a loop would become a call of memcpy.
inline Vec LoadPartial(const float* p, int n) {
  if (n >= 4) return Load(p);
  float32x4_t v = vdupq_n_f32(0);
  if (n > 0) v = vld1q_lane_f32(p, v, 0);
  if (n > 1) v = vld1q_lane_f32(p + 1, v, 1);
  if (n > 2) v = vld1q_lane_f32(p + 2, v, 2);
  return {v};
}
inline void StorePartial(float* p, Vec a, int n) {
  if (n >= 4) return Store(p, a);
  if (n > 0) vst1q_lane_f32(p, a.v, 0);
  if (n > 1) vst1q_lane_f32(p + 1, a.v, 1);
  if (n > 2) vst1q_lane_f32(p + 2, a.v, 2);
}
inline Vec operator+(Vec a, Vec b) { return {vaddq_f32(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {vsubq_f32(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {vmulq_f32(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {vdivq_f32(a.v, b.v)}; }
inline Vec Fma(Vec a, Vec b, Vec c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
// Of the first lane. Loaded by LDR: LD1R, which fills all lanes, is a vector operation too on most CPUs
// (Arm's optimization guides to Neoverse N1, V1, N2), and products by a lane cost the same.
struct Splat {
  float32x4_t v;
};
inline Splat LoadSplat(const float* p) {
  Splat a;
  asm("ldr %s0, %1" : "=w"(a.v) : "m"(*p));
  return a;
}
inline Vec Fma(Splat a, Vec b, Vec c) { return {vfmaq_laneq_f32(c.v, b.v, a.v, 0)}; }
inline Vec Fnma(Vec a, Vec b, Vec c) { return {vfmsq_f32(c.v, a.v, b.v)}; }
inline Vec Max(Vec a, Vec b) { return {vmaxq_f32(a.v, b.v)}; }
inline Vec Min(Vec a, Vec b) { return {vminq_f32(a.v, b.v)}; }
inline Vec Abs(Vec a) { return {vabsq_f32(a.v)}; }
inline Vec Sqrt(Vec a) { return {vsqrtq_f32(a.v)}; }
inline Vec Round(Vec a) { return {vrndnq_f32(a.v)}; }
inline Vec ScaleB(Vec a, Vec n) {
  // In two steps, so that results near the ends of the range (and n = 128) come out right.
  const float32x4_t bounded = vminq_f32(vmaxq_f32(n.v, vdupq_n_f32(-252.0f)), vdupq_n_f32(252.0f));
  const int32x4_t whole = vcvtnq_s32_f32(bounded), half = vshrq_n_s32(whole, 1), bias = vdupq_n_s32(127);
  const float32x4_t first = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, bias), 23));
  const float32x4_t second = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vsubq_s32(whole, half), bias), 23));
  return {vmulq_f32(vmulq_f32(a.v, first), second)};
}
inline Mask Less(Vec a, Vec b) { return {vcltq_f32(a.v, b.v)}; }
inline Mask LessEqual(Vec a, Vec b) { return {vcleq_f32(a.v, b.v)}; }
inline Mask Equal(Vec a, Vec b) { return {vceqq_f32(a.v, b.v)}; }
inline Mask IsNaN(Vec a) { return {vmvnq_u32(vceqq_f32(a.v, a.v))}; }
inline Vec Select(Mask m, Vec a, Vec b) { return {vbslq_f32(m.v, a.v, b.v)}; }
inline Vec CopySign(Vec a, Vec s) { return {vbslq_f32(vdupq_n_u32(0x80000000u), s.v, a.v)}; }
inline Vec LowBf16(Vec a) { return {vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(a.v), 16))}; }
inline Vec HighBf16(Vec a) {
  return {vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a.v), vdupq_n_u32(0xffff0000u)))};
}
inline Vec LoadBf16(const uint16_t* p) { return {vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16))}; }
inline Vec LoadBf16Partial(const uint16_t* p, int n) {
  uint16_t x[4] = {};
  for (int i = 0; i < n; ++i) x[i] = p[i];
  return LoadBf16(x);
}
inline Vec RoundBf16(Vec a) {
  const uint32x4_t bits = vreinterpretq_u32_f32(a.v);
  const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
  const uint32x4_t rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
  const uint32x4_t quiet = vorrq_u32(bits, vdupq_n_u32(0x400000));
  return HighBf16({vreinterpretq_f32_u32(vbslq_u32(IsNaN(a).v, quiet, rounded))});
}
inline void StoreBf16(uint16_t* p, Vec a) { vst1_u16(p, vshrn_n_u32(vreinterpretq_u32_f32(a.v), 16)); }
inline void StoreBf16Partial(uint16_t* p, Vec a, int n) {
  uint16_t x[4];
  StoreBf16(x, a);
  for (int i = 0; i < n; ++i) p[i] = x[i];
}
inline Vec SplitExponent(Vec x, Vec* m) {
  const int32x4_t half = vdupq_n_s32(0x3f3504f3);  // √½
  const int32x4_t u = vsubq_s32(vreinterpretq_s32_f32(x.v), half);
  m->v = vreinterpretq_f32_s32(vaddq_s32(vandq_s32(u, vdupq_n_s32(0x007fffff)), half));
  return {vcvtq_f32_s32(vshrq_n_s32(u, 23))};
}
inline float ReduceAdd(Vec a) {
  const float32x2_t y = vadd_f32(vget_low_f32(a.v), vget_high_f32(a.v));
  return vget_lane_f32(vpadd_f32(y, y), 0);
}
inline float ReduceMax(Vec a) { return vmaxvq_f32(a.v); }
inline float ReduceMin(Vec a) { return vminvq_f32(a.v); }
inline Vec LoadInt8(const void* p) {
  int32_t four;
  memcpy(&four, p, sizeof four);
  const int16x8_t x = vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four)));
  return {vcvtq_f32_s32(vmovl_s16(vget_low_s16(x)))};
}
inline Vec ReduceAddEach(const Vec (&v)[4]) {
  return {vpaddq_f32(vpaddq_f32(v[0].v, v[1].v), vpaddq_f32(v[2].v, v[3].v))};
}
inline void TransposeBlock(const float* src, int64_t src_ld, float* dst, int64_t dst_ld) {
  const float32x4_t r0 = vld1q_f32(src), r1 = vld1q_f32(src + src_ld);
  const float32x4_t r2 = vld1q_f32(src + 2 * src_ld), r3 = vld1q_f32(src + 3 * src_ld);
  const float32x4x2_t t01 = vtrnq_f32(r0, r1), t23 = vtrnq_f32(r2, r3);
  vst1q_f32(dst, vcombine_f32(vget_low_f32(t01.val[0]), vget_low_f32(t23.val[0])));
  vst1q_f32(dst + dst_ld, vcombine_f32(vget_low_f32(t01.val[1]), vget_low_f32(t23.val[1])));
  vst1q_f32(dst + 2 * dst_ld, vcombine_f32(vget_high_f32(t01.val[0]), vget_high_f32(t23.val[0])));
  vst1q_f32(dst + 3 * dst_ld, vcombine_f32(vget_high_f32(t01.val[1]), vget_high_f32(t23.val[1])));
}

inline Vec FromBytes(uint8x16_t a) { return {vreinterpretq_f32_u8(a)}; }
inline uint8x16_t ToBytes(Vec a) { return vreinterpretq_u8_f32(a.v); }
inline Vec LoadF16(const float* p) {
  return {vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(reinterpret_cast<const uint16_t*>(p))))};
}
inline Vec EvenBytes(Vec a) {
  return {vreinterpretq_f32_u16(vandq_u16(vreinterpretq_u16_f32(a.v), vdupq_n_u16(0xff)))};
}
inline Vec OddBytes(Vec a) { return {vreinterpretq_f32_u16(vshrq_n_u16(vreinterpretq_u16_f32(a.v), 8))}; }
inline Vec LowNibbles(Vec a) { return FromBytes(vandq_u8(ToBytes(a), vdupq_n_u8(15))); }
inline Vec HighNibbles(Vec a) { return FromBytes(vshrq_n_u8(ToBytes(a), 4)); }
// 255 · 127 fits 16 bits.
inline Vec DotShorts(Vec a, Vec b, Vec sum) {
  const int16x8_t products = vmulq_s16(vreinterpretq_s16_f32(a.v), vreinterpretq_s16_f32(b.v));
  return {vreinterpretq_f32_s32(vpadalq_s16(vreinterpretq_s32_f32(sum.v), products))};
}
template <int kByte>
inline Vec SignedByte(Vec a) {
  const int32x4_t up = vshlq_n_s32(vreinterpretq_s32_f32(a.v), 24 - 8 * kByte);
  return {vcvtq_f32_s32(vshrq_n_s32(up, 24))};
}
inline Vec IntsToFloats(Vec a) { return {vcvtq_f32_s32(vreinterpretq_s32_f32(a.v))}; }
inline void StoreShorts(float* p, Vec a) {
  const int16x4_t x = vmovn_s32(vcvtnq_s32_f32(a.v)), y = vuzp1_s16(x, x), z = vuzp2_s16(x, x);
  vst1_s16(reinterpret_cast<int16_t*>(p),
           vreinterpret_s16_s32(vzip1_s32(vreinterpret_s32_s16(y), vreinterpret_s32_s16(z))));
}

// For vec_neon_*.h. Whole numbers as bytes:
inline void StoreBytes(float* p, Vec a) {
  const int16x4_t x = vmovn_s32(vcvtnq_s32_f32(a.v));
  vst1_lane_s32(reinterpret_cast<int32_t*>(p), vreinterpret_s32_s8(vmovn_s16(vcombine_s16(x, x))), 0);
}

}  // namespace
}  // namespace heedful::neon
