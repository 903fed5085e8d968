// Vec of 16 lanes with AVX-512 F, BW, DQ, VL. The interface is described in vec_scalar.h.
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

namespace heedful::avx512 {
namespace {

struct Vec {
  static constexpr int kLanes = 16;
  __m512 v;
};
struct Mask {
  __mmask16 v;
};

inline __mmask16 FirstLanes(int n) { return static_cast<__mmask16>((1u << n) - 1u); }
inline Vec Set1(float x) { return {_mm512_set1_ps(x)}; }
inline Vec Zero() { return {_mm512_setzero_ps()}; }
inline Vec Pin(Vec a) {
  asm("" : "+v"(a.v));
  return a;
}
// Pinned, else every use becomes a load of its own ({1to16}).
inline Vec Broadcast(const float* p) { return Pin(Set1(*p)); }
using Splat = Vec;
inline Splat LoadSplat(const float* p) { return Broadcast(p); }
// Volatile: GCC takes a function that only prefetches for one without effect, and drops the calls.
inline void Prefetch(const void* p) { asm volatile("prefetcht0 %0" : : "m"(*static_cast<const char*>(p))); }
inline Vec Load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void Store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
inline Vec LoadPartial(const float* p, int n) { return {_mm512_maskz_loadu_ps(FirstLanes(n), p)}; }
inline void StorePartial(float* p, Vec a, int n) { _mm512_mask_storeu_ps(p, FirstLanes(n), a.v); }
inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vec Fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec Fnma(Vec a, Vec b, Vec c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }
inline Vec Max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec Min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Vec Abs(Vec a) { return {_mm512_abs_ps(a.v)}; }
inline Vec Sqrt(Vec a) { return {_mm512_sqrt_ps(a.v)}; }
inline Vec Round(Vec a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
inline Vec ScaleB(Vec a, Vec n) { return {_mm512_scalef_ps(a.v, n.v)}; }
inline Mask Less(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
inline Mask LessEqual(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ)}; }
inline Mask Equal(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
inline Mask IsNaN(Vec a) { return {_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q)}; }
inline Vec Select(Mask m, Vec a, Vec b) { return {_mm512_mask_blend_ps(m.v, b.v, a.v)}; }
inline Vec CopySign(Vec a, Vec s) {
  const __m512i sign = _mm512_set1_epi32(static_cast<int>(0x80000000u));
  return {_mm512_castsi512_ps(
      _mm512_ternarylogic_epi32(sign, _mm512_castps_si512(s.v), _mm512_castps_si512(a.v), 0xca))};
}
inline Vec LowBf16(Vec a) { return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(a.v), 16))}; }
inline Vec HighBf16(Vec a) { return {_mm512_and_ps(a.v, _mm512_castsi512_ps(_mm512_set1_epi32(~0xffff)))}; }
inline Vec WidenBf16(__m256i x) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16))};
}
inline Vec LoadBf16(const uint16_t* p) {
  return WidenBf16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline Vec LoadBf16Partial(const uint16_t* p, int n) {
  return WidenBf16(_mm256_maskz_loadu_epi16(FirstLanes(n), p));
}
inline Vec RoundBf16(Vec a) {
  const __m512i bits = _mm512_castps_si512(a.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __m512i all = _mm512_mask_or_epi32(rounded, IsNaN(a).v, bits, _mm512_set1_epi32(0x400000));
  return HighBf16({_mm512_castsi512_ps(all)});
}
inline __m256i UpperHalves(Vec a) {
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(a.v), 16));
}
inline void StoreBf16(uint16_t* p, Vec a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), UpperHalves(a));
}
inline void StoreBf16Partial(uint16_t* p, Vec a, int n) {
  _mm256_mask_storeu_epi16(p, FirstLanes(n), UpperHalves(a));
}
inline Vec SplitExponent(Vec x, Vec* m) {
  const __m512i half = _mm512_set1_epi32(0x3f3504f3);  // √½
  const __m512i u = _mm512_sub_epi32(_mm512_castps_si512(x.v), half);
  m->v = _mm512_castsi512_ps(_mm512_add_epi32(_mm512_and_si512(u, _mm512_set1_epi32(0x007fffff)), half));
  return {_mm512_cvtepi32_ps(_mm512_srai_epi32(u, 23))};
}
// Written out: the library's reductions may differ between compilers.
inline float ReduceAdd(Vec a) {
  __m256 x = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  y = _mm_add_ps(y, _mm_movehl_ps(y, y));
  return _mm_cvtss_f32(_mm_add_ss(y, _mm_shuffle_ps(y, y, 1)));
}
inline float ReduceMax(Vec a) { return _mm512_reduce_max_ps(a.v); }
inline float ReduceMin(Vec a) { return _mm512_reduce_min_ps(a.v); }
inline Vec LoadInt8(const void* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))))};
}
// Sums of the halves of a and b beside each other, of the quarters, of pairs in each quarter, of these.
inline __m512 AddHalves(__m512 a, __m512 b) {
  return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
}
inline __m512 AddQuarters(__m512 a, __m512 b) {
  return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
}
inline __m512 AddPairs(__m512 a, __m512 b) {
  return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee));
}
inline __m512 AddNeighbours(__m512 a, __m512 b) {
  return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xdd));
}
inline Vec ReduceAddEach(const Vec (&v)[16]) {
  const auto four = [&](int i) __attribute__((always_inline)) {
    return AddQuarters(AddHalves(v[i].v, v[i + 1].v), AddHalves(v[i + 2].v, v[i + 3].v));
  };
  const __m512 all = AddNeighbours(AddPairs(four(0), four(4)), AddPairs(four(8), four(12)));
  // Lane 4·q + i holds the sum of v[4·i + q].
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return {_mm512_permutexvar_ps(order, all)};
}
// Rows i and i + 8 share a register, joined while they are loaded, so that three rounds of shuffles are left.
inline void TransposeBlock(const float* src, int64_t src_ld, float* dst, int64_t dst_ld) {
#if defined(__GNUC__)
#pragma GCC unroll 2
#endif
  for (int half = 0; half < 2; ++half) {
    __m512 r[8];
    __m512d t[8];
#if defined(__GNUC__)
#pragma GCC unroll 8
#endif
    for (int i = 0; i < 8; ++i) {
      const float* p = src + i * src_ld + 8 * half;
      r[i] = _mm512_mask_broadcast_f32x8(_mm512_castps256_ps512(_mm256_loadu_ps(p)), 0xff00,
                                         _mm256_loadu_ps(p + 8 * src_ld));
    }
#if defined(__GNUC__)
#pragma GCC unroll 4
#endif
    for (int i = 0; i < 4; ++i) {
      t[2 * i] = _mm512_castps_pd(_mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]));
      t[2 * i + 1] = _mm512_castps_pd(_mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]));
    }
#if defined(__GNUC__)
#pragma GCC unroll 2
#endif
    for (int i = 0; i < 2; ++i) {
      r[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(t[i], t[i + 2]));
      r[i + 2] = _mm512_castpd_ps(_mm512_unpackhi_pd(t[i], t[i + 2]));
      r[i + 4] = _mm512_castpd_ps(_mm512_unpacklo_pd(t[i + 4], t[i + 6]));
      r[i + 6] = _mm512_castpd_ps(_mm512_unpackhi_pd(t[i + 4], t[i + 6]));
    }
    // r[c + 4·g], c from 0, 2, 1, 3: column c of each four, rows 4g … 4g + 3 and, in the upper half, 8 more.
    float* out = dst + 8 * half * dst_ld;
#if defined(__GNUC__)
#pragma GCC unroll 4
#endif
    for (int c = 0; c < 4; ++c) {
      const __m512 low = r[(c & 1) * 2 + c / 2], high = r[(c & 1) * 2 + c / 2 + 4];
      const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27);
      const __m512i second = _mm512_setr_epi32(4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
      _mm512_storeu_ps(out + c * dst_ld, _mm512_permutex2var_ps(low, first, high));
      _mm512_storeu_ps(out + (c + 4) * dst_ld, _mm512_permutex2var_ps(low, second, high));
    }
  }
}

inline Vec FromInts(__m512i a) { return {_mm512_castsi512_ps(a)}; }
inline __m512i ToInts(Vec a) { return _mm512_castps_si512(a.v); }
inline Vec LoadF16(const float* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline Vec EvenBytes(Vec a) { return FromInts(_mm512_and_si512(ToInts(a), _mm512_set1_epi16(0xff))); }
inline Vec OddBytes(Vec a) { return FromInts(_mm512_srli_epi16(ToInts(a), 8)); }
inline Vec LowNibbles(Vec a) { return FromInts(_mm512_and_si512(ToInts(a), _mm512_set1_epi8(15))); }
inline Vec HighNibbles(Vec a) {
  return FromInts(_mm512_and_si512(_mm512_srli_epi16(ToInts(a), 4), _mm512_set1_epi8(15)));
}
inline Vec DotShorts(Vec a, Vec b, Vec sum) {
  return FromInts(_mm512_add_epi32(ToInts(sum), _mm512_madd_epi16(ToInts(a), ToInts(b))));
}
template <int kByte>
inline Vec SignedByte(Vec a) {
  const __m512i up = _mm512_slli_epi32(ToInts(a), 24 - 8 * kByte);
  return {_mm512_cvtepi32_ps(_mm512_srai_epi32(up, 24))};
}
inline Vec IntsToFloats(Vec a) { return {_mm512_cvtepi32_ps(ToInts(a))}; }
inline void StoreShorts(float* p, Vec a) {
  const __m256i x = _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(a.v));
  const __m256i low = _mm256_shufflelo_epi16(x, _MM_SHUFFLE(3, 1, 2, 0));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_shufflehi_epi16(low, _MM_SHUFFLE(3, 1, 2, 0)));
}

}  // namespace
}  // namespace heedful::avx512
