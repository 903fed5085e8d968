// Vec of 8 lanes with AVX2 and FMA. The interface is described in vec_scalar.h.
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

namespace heedful::avx2 {
namespace {

struct Vec {
  static constexpr int kLanes = 8;
  __m256 v;
};
struct Mask {
  __m256 v;
};

inline __m256i FirstLanes(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline Vec Set1(float x) { return {_mm256_set1_ps(x)}; }
inline Vec Zero() { return {_mm256_setzero_ps()}; }
inline Vec Pin(Vec a) {
  asm("" : "+x"(a.v));
  return a;
}
inline Vec Broadcast(const float* p) { return {_mm256_broadcast_ss(p)}; }
using Splat = Vec;
inline Splat LoadSplat(const float* p) { return Broadcast(p); }
// Volatile: GCC takes a function that only prefetches for one without effect, and drops the calls.
inline void Prefetch(const void* p) { asm volatile("prefetcht0 %0" : : "m"(*static_cast<const char*>(p))); }
inline Vec Load(const float* p) { return {_mm256_loadu_ps(p)}; }
inline void Store(float* p, Vec a) { _mm256_storeu_ps(p, a.v); }
inline Vec LoadPartial(const float* p, int n) { return {_mm256_maskload_ps(p, FirstLanes(n))}; }
inline void StorePartial(float* p, Vec a, int n) { _mm256_maskstore_ps(p, FirstLanes(n), a.v); }
inline Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
inline Vec Fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec Fnma(Vec a, Vec b, Vec c) { return {_mm256_fnmadd_ps(a.v, b.v, c.v)}; }
inline Vec Max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
inline Vec Min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
inline Vec Abs(Vec a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
inline Vec Sqrt(Vec a) { return {_mm256_sqrt_ps(a.v)}; }
inline Vec Round(Vec a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
inline Vec ScaleB(Vec a, Vec n) {
  // In two steps, so that results near the ends of the range (and n = 128) come out right.
  const __m256 bounded = _mm256_min_ps(_mm256_max_ps(n.v, _mm256_set1_ps(-252.0f)), _mm256_set1_ps(252.0f));
  const __m256i whole = _mm256_cvtps_epi32(bounded), half = _mm256_srai_epi32(whole, 1);
  const __m256i bias = _mm256_set1_epi32(127);
  const __m256 first = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
  const __m256 second =
      _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(whole, half), bias), 23));
  return {_mm256_mul_ps(_mm256_mul_ps(a.v, first), second)};
}
inline Mask Less(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
inline Mask LessEqual(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LE_OQ)}; }
inline Mask Equal(Vec a, Vec b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ)}; }
inline Mask IsNaN(Vec a) { return {_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q)}; }
inline Vec Select(Mask m, Vec a, Vec b) { return {_mm256_blendv_ps(b.v, a.v, m.v)}; }
inline Vec CopySign(Vec a, Vec s) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_or_ps(_mm256_andnot_ps(sign, a.v), _mm256_and_ps(sign, s.v))};
}
inline Vec LowBf16(Vec a) { return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a.v), 16))}; }
inline Vec HighBf16(Vec a) { return {_mm256_and_ps(a.v, _mm256_castsi256_ps(_mm256_set1_epi32(~0xffff)))}; }
inline Vec LoadBf16(const uint16_t* p) {
  const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16))};
}
inline Vec LoadBf16Partial(const uint16_t* p, int n) {
  uint16_t x[8] = {};
  for (int i = 0; i < n; ++i) x[i] = p[i];
  return LoadBf16(x);
}
inline Vec RoundBf16(Vec a) {
  const __m256i bits = _mm256_castps_si256(a.v), odd = _mm256_set1_epi32(1);
  const __m256i bias =
      _mm256_add_epi32(_mm256_set1_epi32(0x7fff), _mm256_and_si256(_mm256_srli_epi32(bits, 16), odd));
  const Vec rounded = {_mm256_castsi256_ps(_mm256_add_epi32(bits, bias))};
  const Vec quiet = {_mm256_castsi256_ps(_mm256_or_si256(bits, _mm256_set1_epi32(0x400000)))};
  return HighBf16(Select(IsNaN(a), quiet, rounded));
}
inline void StoreBf16(uint16_t* p, Vec a) {
  const __m256i x = _mm256_srli_epi32(_mm256_castps_si256(a.v), 16);
  const __m128i y = _mm_packus_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), y);
}
inline void StoreBf16Partial(uint16_t* p, Vec a, int n) {
  uint16_t x[8];
  StoreBf16(x, a);
  for (int i = 0; i < n; ++i) p[i] = x[i];
}
inline Vec SplitExponent(Vec x, Vec* m) {
  const __m256i half = _mm256_set1_epi32(0x3f3504f3);  // √½
  const __m256i u = _mm256_sub_epi32(_mm256_castps_si256(x.v), half);
  m->v = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_and_si256(u, _mm256_set1_epi32(0x007fffff)), half));
  return {_mm256_cvtepi32_ps(_mm256_srai_epi32(u, 23))};
}
inline float ReduceAdd(Vec a) {
  __m128 y = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  y = _mm_add_ps(y, _mm_movehl_ps(y, y));
  return _mm_cvtss_f32(_mm_add_ss(y, _mm_shuffle_ps(y, y, 1)));
}
inline float ReduceMax(Vec a) {
  __m128 y = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  y = _mm_max_ps(y, _mm_movehl_ps(y, y));
  return _mm_cvtss_f32(_mm_max_ss(y, _mm_shuffle_ps(y, y, 1)));
}
inline float ReduceMin(Vec a) {
  __m128 y = _mm_min_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  y = _mm_min_ps(y, _mm_movehl_ps(y, y));
  return _mm_cvtss_f32(_mm_min_ss(y, _mm_shuffle_ps(y, y, 1)));
}
inline Vec LoadInt8(const void* p) {
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p))))};
}
inline Vec ReduceAddEach(const Vec (&v)[8]) {
  // Each half of a register has the sums of its own half of v[0 … 3], and of v[4 … 7].
  const auto four = [&](int i) __attribute__((always_inline)) {
    const __m256 a = _mm256_add_ps(_mm256_shuffle_ps(v[i].v, v[i + 1].v, 0x44),
                                   _mm256_shuffle_ps(v[i].v, v[i + 1].v, 0xee));
    const __m256 b = _mm256_add_ps(_mm256_shuffle_ps(v[i + 2].v, v[i + 3].v, 0x44),
                                   _mm256_shuffle_ps(v[i + 2].v, v[i + 3].v, 0xee));
    return _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x88), _mm256_shuffle_ps(a, b, 0xdd));
  };
  const __m256 low = four(0), high = four(4);
  return {_mm256_add_ps(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31))};
}
// Rows i and i + 4 share a register, joined while they are loaded, so that two rounds of shuffles are left.
inline void TransposeBlock(const float* src, int64_t src_ld, float* dst, int64_t dst_ld) {
  for (int half = 0; half < 2; ++half) {
    __m256 r[4];
#if defined(__GNUC__)
#pragma GCC unroll 4
#endif
    for (int i = 0; i < 4; ++i) {
      const float* p = src + i * src_ld + 4 * half;
      r[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(p + 4 * src_ld), 1);
    }
    const __m256d t0 = _mm256_castps_pd(_mm256_unpacklo_ps(r[0], r[1]));
    const __m256d t1 = _mm256_castps_pd(_mm256_unpackhi_ps(r[0], r[1]));
    const __m256d t2 = _mm256_castps_pd(_mm256_unpacklo_ps(r[2], r[3]));
    const __m256d t3 = _mm256_castps_pd(_mm256_unpackhi_ps(r[2], r[3]));
    float* out = dst + 4 * half * dst_ld;
    _mm256_storeu_ps(out, _mm256_castpd_ps(_mm256_unpacklo_pd(t0, t2)));
    _mm256_storeu_ps(out + dst_ld, _mm256_castpd_ps(_mm256_unpackhi_pd(t0, t2)));
    _mm256_storeu_ps(out + 2 * dst_ld, _mm256_castpd_ps(_mm256_unpacklo_pd(t1, t3)));
    _mm256_storeu_ps(out + 3 * dst_ld, _mm256_castpd_ps(_mm256_unpackhi_pd(t1, t3)));
  }
}

inline Vec FromInts(__m256i a) { return {_mm256_castsi256_ps(a)}; }
inline __m256i ToInts(Vec a) { return _mm256_castps_si256(a.v); }
inline Vec LoadF16(const float* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
inline Vec EvenBytes(Vec a) { return FromInts(_mm256_and_si256(ToInts(a), _mm256_set1_epi16(0xff))); }
inline Vec OddBytes(Vec a) { return FromInts(_mm256_srli_epi16(ToInts(a), 8)); }
inline Vec LowNibbles(Vec a) { return FromInts(_mm256_and_si256(ToInts(a), _mm256_set1_epi8(15))); }
inline Vec HighNibbles(Vec a) {
  return FromInts(_mm256_and_si256(_mm256_srli_epi16(ToInts(a), 4), _mm256_set1_epi8(15)));
}
inline Vec DotShorts(Vec a, Vec b, Vec sum) {
  return FromInts(_mm256_add_epi32(ToInts(sum), _mm256_madd_epi16(ToInts(a), ToInts(b))));
}
template <int kByte>
inline Vec SignedByte(Vec a) {
  const __m256i up = _mm256_slli_epi32(ToInts(a), 24 - 8 * kByte);
  return {_mm256_cvtepi32_ps(_mm256_srai_epi32(up, 24))};
}
inline Vec IntsToFloats(Vec a) { return {_mm256_cvtepi32_ps(ToInts(a))}; }
inline void StoreShorts(float* p, Vec a) {
  const __m256i x = _mm256_cvtps_epi32(a.v), packed = _mm256_packs_epi32(x, x);
  const __m256i y = _mm256_permute4x64_epi64(_mm256_shufflelo_epi16(packed, _MM_SHUFFLE(3, 1, 2, 0)), 8);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(y));
}

}  // namespace
}  // namespace heedful::avx2
