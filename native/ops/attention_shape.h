// What Attention and AttentionGradient share: sizes, their checks and the mask.
#pragma once

#include <algorithm>
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

// Throws unless q, k, v and the optional key lengths fit together.
inline AttentionShape CheckAttentionInputs(const std::string& op, const Operand& q, const Operand& k,
                                           const Operand& v, const Operand& lengths) {
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
  if (lengths) {
    HEEDFUL_CHECK(lengths.dtype == DType::kI32, op + ": keyLengths must be i32");
    HEEDFUL_CHECK(
        lengths.rank == 1 && lengths.dims[0] == shape.batch,
        op + ": keyLengths must be [" + std::to_string(shape.batch) + "], but is " + ShapeText(lengths));
  }
  return shape;
}

// lse [B, H, Tq], contiguous.
inline void CheckLse(const std::string& op, const Operand& lse, const AttentionShape& shape, DType dtype) {
  HEEDFUL_CHECK(lse.dtype == dtype, op + ": lse must have the dtype of q");
  HEEDFUL_CHECK(lse.rank == 3 && lse.dims[0] == shape.batch && lse.dims[1] == shape.heads &&
                    lse.dims[2] == shape.queries && lse.Contiguous(),
                op + ": lse must be [batch, heads, queries] and contiguous, but is " + ShapeText(lse));
}

// The attribute `causal`: query i sees the keys j ≤ i + L − Tq (aligned at the end), or those j ≤ i.
enum class Causal { kNo, kFromEnd, kFromStart };

// Which keys a query sees: a prefix of the L keys of its sequence, L = keyLengths[b], or all Tk.
class AttentionMask {
 public:
  // Throws unless all lengths are in [0, Tk].
  AttentionMask(const std::string& op, const Operand& lengths, const AttentionShape& shape, double causal)
      : data_(lengths ? lengths.As<int32_t>() : nullptr),
        stride_(lengths ? lengths.strides[0] : 0),
        queries_(shape.queries),
        keys_(shape.keys),
        causal_(static_cast<Causal>(static_cast<int>(causal))) {
    for (int64_t b = 0; data_ && b < shape.batch; ++b) {
      const int64_t length = data_[b * stride_];
      HEEDFUL_CHECK(length >= 0 && length <= keys_, op + ": keyLengths[" + std::to_string(b) + "] is " +
                                                        std::to_string(length) + ", expected 0 to " +
                                                        std::to_string(keys_));
    }
  }
  // L.
  int64_t Keys(int64_t b) const { return data_ ? data_[b * stride_] : keys_; }
  bool IsCausal() const { return causal_ != Causal::kNo; }
  // Query i sees keys j ≤ i + offset when causal.
  int64_t CausalOffset(int64_t keys) const { return causal_ == Causal::kFromEnd ? keys - queries_ : 0; }
  // Keys that query i sees.
  int64_t operator()(int64_t b, int64_t i) const {
    const int64_t keys = Keys(b);
    return IsCausal() ? std::clamp<int64_t>(i + CausalOffset(keys) + 1, 0, keys) : keys;
  }

 private:
  const int32_t* data_;
  int64_t stride_, queries_, keys_;
  Causal causal_;
};

}  // namespace heedful
