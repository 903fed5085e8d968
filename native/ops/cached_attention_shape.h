// CachedAttention: its operands, and how its work is cut, by shapes alone.
#pragma once

#include <algorithm>

#include "ops/cache_format.h"
#include "ops/chunks.h"

namespace heedful::cached_attention {

enum { kQ, kKeys, kValues, kLengths, kOffsets, kSlots, kBias, kSlopes, kAngles, kO };
enum { kScale, kCausal, kFormat, kLeft, kSoftcap, kInterleaved, kRounding, kAttributes };

// Rows (queries of the heads that share keys) of one pass over the cache.
constexpr int64_t kFewRows = 16;
// Bytes of keys and values of a run: some ten microseconds of reading, beside which a fork is nothing.
constexpr int64_t kRunBytes = 512 << 10;

inline int64_t RoundUpTo(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// Consecutive queries of one sequence.
struct Piece {
  int64_t batch, query, queries, slot, keys;
  int64_t position;  // the key that the first of them stands at
};

struct Plan {
  CacheFormat format;
  int64_t sequences, heads, kv_heads, groups, queries, head_dim, value_dim;
  CacheLayout keys, values;
  int64_t few;        // queries up to which a pass over the cache pays
  int64_t rows;       // of such a pass, at most
  int64_t run, runs;  // runs: of a full cache
  int64_t o_row;

  explicit Plan(const Instruction& in)
      : format(static_cast<CacheFormat>(static_cast<int>(in.attributes[kFormat]))),
        sequences(in[kLengths].dims[0]),
        heads(in[kQ].dims[1]),
        kv_heads(in[kKeys].dims[1]),
        groups(kv_heads ? heads / kv_heads : 0),
        queries(in[kQ].dims[2]),
        head_dim(in[kQ].dims[3]),
        value_dim(in[kO].dims[3]),
        keys(format, in[kKeys], head_dim),
        values(format, in[kValues], value_dim),
        few(std::max<int64_t>(1, kFewRows / std::max<int64_t>(1, groups))),
        rows(groups * std::min(few, queries)) {
    const int64_t bytes = CacheRowBytes(format, head_dim) + CacheRowBytes(format, value_dim);
    run = std::max(kCachedRun, kRunBytes / bytes / kCachedRun * kCachedRun);
    runs = CeilDiv(keys.capacity, run);
    o_row = RoundUpTo(value_dim, kCacheGroup);
  }

  bool MayBeMany() const { return queries > few; }
  int64_t Parts() const { return sequences * kv_heads * runs; }
  // Floats: of the pieces, and of the keys and values of one sequence as f32.
  int64_t PieceFloats() const { return RoundUpTo(sequences * int64_t(sizeof(Piece) / sizeof(float)), 16); }
  int64_t KeyFloats() const { return RoundUpTo(kv_heads * keys.capacity * head_dim, 16); }
  int64_t ValueFloats() const { return RoundUpTo(kv_heads * keys.capacity * value_dim, 16); }
  int64_t SumFloats() const { return RoundUpTo(Parts() * rows, 16); }
  int64_t Scratch(const KernelTable& kernels) const {
    return RoundUpTo(kernels.cached_attention.scratch(std::min(rows, kFewRows), static_cast<int>(head_dim)),
                     16);
  }
};

}  // namespace heedful::cached_attention
