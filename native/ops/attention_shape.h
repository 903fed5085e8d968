// What Attention and AttentionGradient share: operands and their checks, sequences, and what their queries
// see.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>

#include "ops/heads.h"

namespace heedful {

constexpr int64_t kMaxHeadDim = 256;

// Of q [B, H, Tq, D], k [B, Hkv, Tk, D], v [B, Hkv, Tk, Dv]. Query head h reads key-value head h / groups.
struct AttentionShape {
  int64_t batch, heads, kv_heads, groups, queries, keys;
  int head_dim, value_dim;

  AttentionShape(const Operand& q, const Operand& k, const Operand& v)
      : batch(q.dims[0]),
        heads(q.dims[1]),
        kv_heads(k.dims[1]),
        groups(kv_heads ? heads / kv_heads : 0),
        queries(q.dims[2]),
        keys(k.dims[2]),
        head_dim(static_cast<int>(q.dims[3])),
        value_dim(static_cast<int>(v.dims[3])) {}
};

// The operands that say who sees what: each may be absent.
struct AttentionExtras {
  const Operand &lengths, &offsets, &key_offsets, &bias, &slopes;

  // They stand in this order in both instructions.
  AttentionExtras(const Instruction& in, int first)
      : lengths(in[first]),
        offsets(in[first + 1]),
        key_offsets(in[first + 2]),
        bias(in[first + 3]),
        slopes(in[first + 4]) {}
  static constexpr int kCount = 5;

  int64_t Sequences(const AttentionShape& shape) const { return offsets ? offsets.dims[0] - 1 : shape.batch; }
};

// The attributes of both instructions, and one more of Attention.
enum { kScale, kCausal, kLeft, kRight, kSoftcap, kRounds, kInterleaved, kAttentionAttributes };
constexpr int kGradientAttributes = kInterleaved;

// What the attribute `rounds` says: products of operands rounded to bfloat16.
inline const AttentionProducts& Products(const Instruction& in, const KernelTable& kernels) {
  return in.attributes[kRounds] == 1 ? kernels.attention.bf16 : kernels.attention.f32;
}

// The attribute `causal`: query i sees no key behind its own, which is i + L − Lq (aligned at the end, Lq
// queries and L keys in the sequence), or i.
enum class Causal { kNo, kFromEnd, kFromStart };

inline void CheckVector(const std::string& what, const Operand& x, int64_t size, DType dtype) {
  HEEDFUL_CHECK(x.dtype == dtype,
                what + (dtype == DType::kI32 ? " must be i32" : " must have the dtype of q"));
  HEEDFUL_CHECK(x.rank == 1 && x.dims[0] == size,
                what + " must be [" + std::to_string(size) + "], but is " + ShapeText(x));
}

// x is [1 or batch, 1 or heads, queries, keys]; with offsets the longest sequence is yet to be compared.
inline void CheckBias(const std::string& what, const Operand& x, const AttentionShape& shape, bool offsets,
                      DType dtype) {
  CheckHeads(what, x, dtype);
  HEEDFUL_CHECK((x.dims[0] == 1 || x.dims[0] == shape.batch) &&
                    (x.dims[1] == 1 || x.dims[1] == shape.heads) &&
                    (offsets || (x.dims[2] == shape.queries && x.dims[3] == shape.keys)),
                what + " must be [1 or batch, 1 or heads, queries, keys], but is " + ShapeText(x));
}

// Throws unless q, k, v and the rest fit together.
inline AttentionShape CheckAttentionInputs(const std::string& op, const Instruction& in, const Operand& q,
                                           const Operand& k, const Operand& v,
                                           const AttentionExtras& extras) {
  CheckHeads(op + ": q", q, q.dtype);
  CheckHeads(op + ": k", k, q.dtype);
  CheckHeads(op + ": v", v, q.dtype);
  HEEDFUL_CHECK(
      q.dims[3] <= kMaxHeadDim && v.dims[3] <= kMaxHeadDim,
      op + ": a head may have at most 256 elements, but q is " + ShapeText(q) + " and v is " + ShapeText(v));
  const AttentionShape shape(q, k, v);
  CheckHeadDims(op + ": k", k, shape.batch, shape.kv_heads, shape.keys, shape.head_dim);
  CheckHeadDims(op + ": v", v, shape.batch, shape.kv_heads, shape.keys, shape.value_dim);
  HEEDFUL_CHECK(shape.heads == shape.groups * shape.kv_heads,
                op + ": the " + std::to_string(shape.heads) + " heads of q must be a multiple of the " +
                    std::to_string(shape.kv_heads) + " heads of k");
  const Operand &lengths = extras.lengths, &offsets = extras.offsets, &key_offsets = extras.key_offsets;
  if (lengths) CheckVector(op + ": keyLengths", lengths, shape.batch, DType::kI32);
  if (offsets) {
    HEEDFUL_CHECK(!lengths && shape.batch == 1, op + ": with offsets there is one batch and no keyLengths");
    HEEDFUL_CHECK(offsets.rank == 1 && offsets.dims[0] >= 1,
                  op + ": offsets must be [sequences + 1], but is " + ShapeText(offsets));
    CheckVector(op + ": offsets", offsets, offsets.dims[0], DType::kI32);
    if (key_offsets) CheckVector(op + ": keyOffsets", key_offsets, offsets.dims[0], DType::kI32);
  } else {
    HEEDFUL_CHECK(!key_offsets, op + ": keyOffsets need offsets");
  }
  if (extras.bias) CheckBias(op + ": bias", extras.bias, shape, bool(offsets), q.dtype);
  if (extras.slopes) CheckVector(op + ": slopes", extras.slopes, shape.heads, q.dtype);
  const double causal = in.attributes[kCausal], softcap = in.attributes[kSoftcap];
  HEEDFUL_CHECK(causal == 0 || causal == 1 || causal == 2, op + ": causal must be 0, 1 or 2");
  HEEDFUL_CHECK(softcap >= 0, op + ": softcap must not be negative");
  HEEDFUL_CHECK(in.attributes[kRounds] == 0 || in.attributes[kRounds] == 1, op + ": rounds must be 0 or 1");
  for (const int side : {int(kLeft), int(kRight)}) {
    const double x = in.attributes[side];
    HEEDFUL_CHECK(x >= -1 && x < kUnlimited && x == std::floor(x),
                  op + ": a side of the window must be −1 or a number of keys");
  }
  return shape;
}

// lse [B, H, Tq], any strides.
inline void CheckLse(const std::string& op, const Operand& lse, const AttentionShape& shape, DType dtype) {
  HEEDFUL_CHECK(lse.dtype == dtype, op + ": lse must have the dtype of q");
  HEEDFUL_CHECK(lse.rank == 3 && lse.dims[0] == shape.batch && lse.dims[1] == shape.heads &&
                    lse.dims[2] == shape.queries,
                op + ": lse must be [batch, heads, queries], but is " + ShapeText(lse));
}

// One sequence: its rows in the operands.
struct Sequence {
  int64_t batch, query, queries, key, keys;
  int64_t key_rows;  // keys, and rows after them that are in no sequence
};

// Padded sequences of one length, L = keyLengths[b] or Tk of their keys counting; or, by offsets, sequences
// one after another in a batch of one. Then rows after the last offset are a sequence without keys.
class SequenceList {
 public:
  // Throws unless all lengths are in [0, Tk]; offsets begin with 0, never fall and end within the rows.
  SequenceList(const std::string& op, const AttentionExtras& extras, const AttentionShape& shape)
      : lengths_(extras.lengths),
        offsets_(extras.offsets),
        key_offsets_(extras.key_offsets ? extras.key_offsets : extras.offsets),
        shape_(shape),
        given_(extras.Sequences(shape)) {
    for (int64_t b = 0; lengths_ && b < given_; ++b) {
      const int64_t length = At(lengths_, b);
      HEEDFUL_CHECK(length >= 0 && length <= shape.keys, op + ": keyLengths[" + std::to_string(b) + "] is " +
                                                             std::to_string(length) + ", expected 0 to " +
                                                             std::to_string(shape.keys));
    }
    if (!offsets_) return;
    CheckOffsets(op + (extras.key_offsets ? ": offsets" : ": offsets (of queries)"), offsets_, shape.queries);
    CheckOffsets(op + (extras.key_offsets ? ": keyOffsets" : ": offsets (of keys)"), key_offsets_,
                 shape.keys);
    for (int64_t s = 0; extras.bias && s < given_; ++s) {
      const Sequence x = (*this)[s];
      HEEDFUL_CHECK(x.queries <= extras.bias.dims[2] && x.keys <= extras.bias.dims[3],
                    op + ": sequence " + std::to_string(s) + " has " + std::to_string(x.queries) +
                        " queries and " + std::to_string(x.keys) + " keys, more than bias " +
                        ShapeText(extras.bias));
    }
  }
  int64_t Count() const { return offsets_ ? given_ + 1 : given_; }
  Sequence operator[](int64_t s) const {
    if (!offsets_) return {s, 0, shape_.queries, 0, lengths_ ? At(lengths_, s) : shape_.keys, shape_.keys};
    const int64_t query = At(offsets_, s), key = At(key_offsets_, s);
    if (s == given_) return {0, query, shape_.queries - query, key, 0, shape_.keys - key};
    const int64_t keys = At(key_offsets_, s + 1) - key;
    return {0, query, At(offsets_, s + 1) - query, key, keys, keys};
  }

 private:
  static int64_t At(const Operand& x, int64_t i) { return x.As<int32_t>()[i * x.strides[0]]; }
  static void CheckOffsets(const std::string& what, const Operand& x, int64_t rows) {
    for (int64_t s = 0, before = 0; s < x.dims[0]; ++s) {
      const int64_t offset = At(x, s);
      HEEDFUL_CHECK(
          s ? offset >= before && offset <= rows : offset == 0,
          what + " [" + std::to_string(s) + "] is " + std::to_string(offset) +
              (s ? ", expected " + std::to_string(before) + " to " + std::to_string(rows) : ", expected 0"));
      before = offset;
    }
  }

  const Operand &lengths_, &offsets_, &key_offsets_;
  AttentionShape shape_;
  int64_t given_;
};

// The rules for query `first` and the following ones of head h of a sequence (the kernels' view of bias and
// slopes is for f32; the reference reads the operands).
inline AttentionScores ScoresOf(const Instruction& in, const AttentionExtras& extras,
                                const Sequence& sequence, int64_t h, int64_t first) {
  const auto extent = [](double x) { return x < 0 ? kUnlimited : static_cast<int64_t>(x); };
  const Causal causal = static_cast<Causal>(static_cast<int>(in.attributes[kCausal]));
  const Operand &bias = extras.bias, &slopes = extras.slopes;
  AttentionScores scores;
  scores.position = first + (causal == Causal::kFromEnd ? sequence.keys - sequence.queries : 0);
  scores.position_step = 1;
  scores.left = extent(in.attributes[kLeft]);
  scores.right = causal == Causal::kNo ? extent(in.attributes[kRight]) : 0;
  scores.scale = static_cast<float>(in.attributes[kScale]);
  scores.softcap = static_cast<float>(in.attributes[kSoftcap]);
  scores.bias = nullptr;
  scores.slopes = nullptr;
  scores.bias_row = scores.slope_row = 0;
  if (bias) {
    scores.bias_row = bias.strides[2];
    scores.bias = HeadData(bias, bias.dims[0] == 1 ? 0 : sequence.batch, bias.dims[1] == 1 ? 0 : h) +
                  first * scores.bias_row;
  }
  if (slopes) scores.slopes = slopes.As<float>() + h * slopes.strides[0];
  return scores;
}

}  // namespace heedful
