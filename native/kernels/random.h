// Counter-based random bits: a pure function of (seed, stream, index), so that a mask depends neither on
// threads nor on instruction sets nor on layout, and a backward pass can make it again.
//
// Internal linkage on purpose: objects compiled for different CPUs include this header, and none may lend its
// copy to another.
#pragma once

#include <stdint.h>

namespace heedful {
namespace {

// Key of one (seed, stream, index / 2³²): two words, each of the finalizer of MurmurHash3 (Appleby 2011)
// type.
struct RandomKey {
  uint32_t first, second;
};

inline uint32_t RandomMix(uint32_t h) {
  h = (h ^ (h >> 16)) * 0x85ebca6bu;
  h = (h ^ (h >> 13)) * 0xc2b2ae35u;
  return h ^ (h >> 16);
}

inline RandomKey MakeRandomKey(uint32_t seed, uint32_t stream, uint32_t high) {
  const uint32_t h = RandomMix(RandomMix(RandomMix(seed + 0x9e3779b9u) ^ stream) + high * 0x9e3779b9u);
  return {h, RandomMix(h + 0x6a09e667u) ^ RandomMix(seed ^ 0xbb67ae85u)};
}

// The low half of the index: xor-shift-multiply rounds that are a bijection of it for every key. The second
// word of the key goes in between, so that two streams are not permutations of each other by a mere xor of
// the index.
inline uint32_t RandomAt(RandomKey key, uint32_t low) {
  uint32_t h = low ^ key.first;
  h = (h ^ (h >> 16)) * 0x7feb352du;
  h = (h ^ (h >> 15)) + key.second;
  h = (h ^ (h >> 14)) * 0x846ca68bu;
  h = (h ^ (h >> 15)) * 0x9e3779b1u;
  return h ^ (h >> 16);
}

inline uint32_t Random32(uint32_t seed, uint32_t stream, uint64_t index) {
  const RandomKey key = MakeRandomKey(seed, stream, static_cast<uint32_t>(index >> 32));
  return RandomAt(key, static_cast<uint32_t>(index));
}

}  // namespace
}  // namespace heedful
