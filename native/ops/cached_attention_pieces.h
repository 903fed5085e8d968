// The pieces of a CachedAttention, one for each sequence, and its f64 loops over them.
#pragma once

#include <vector>

#include "kernels/reference/attention.h"
#include "ops/attention_shape.h"
#include "ops/cache_rows.h"
#include "ops/cached_attention_shape.h"
#include "ops/row_angles.h"

namespace heedful::cached_attention {

// Rows of one sequence of q or o.
inline Operand RowsOf(Operand x, int64_t batch, int64_t row, int64_t rows) {
  if (x.data)
    x.data = static_cast<std::byte*>(x.data) + SizeOf(x.dtype) * (batch * x.strides[0] + row * x.strides[2]);
  x.dims[0] = 1;
  x.dims[2] = rows;
  return x;
}

// Angles of the same rows.
template <class T>
Operand AnglesOf(Operand angles, const Piece& piece) {
  if (!angles) return angles;
  if (angles.data) angles.data = const_cast<T*>(AnglesAt<T>(angles, piece.batch, piece.query));
  const int64_t row = angles.DimFromEnd(0);
  angles.rank = 2;
  angles.dims[0] = piece.queries;
  angles.dims[1] = row;
  angles.strides[0] = row;
  angles.strides[1] = 1;
  return angles;
}

// The queries of each sequence. Read once: JavaScript may hold the same memory.
inline void TakePieces(const Instruction& in, const Plan& plan, Piece* pieces) {
  const CachedSequences sequences(in[kQ], in[kOffsets], in[kSlots], in[kKeys]);
  sequences.CheckData("cachedAttention");
  const Operand &lengths = in[kLengths], &bias = in[kBias];
  const int64_t longest = bias ? std::min(plan.keys.capacity, bias.dims[1]) : plan.keys.capacity;
  int64_t next = 0;
  for (int64_t s = 0; s < plan.sequences; ++s) {
    const CachedSequence x = sequences[s];
    const int64_t length = lengths.As<int32_t>()[s * lengths.strides[0]];
    HEEDFUL_CHECK(length >= 0 && length <= longest, "cachedAttention: keyLengths[" + std::to_string(s) +
                                                        "] is " + std::to_string(length) +
                                                        ", expected 0 to " + std::to_string(longest));
    pieces[s] = {x.batch, x.row, x.rows, x.slot, length, length - x.rows};
    // Offsets may have changed since they were checked.
    HEEDFUL_CHECK(x.rows >= 0 && x.row >= 0 && x.row + x.rows <= plan.queries && x.slot >= 0 &&
                      x.slot < in[kKeys].dims[0] && (!in[kOffsets] || x.row == next),
                  "cachedAttention: offsets or slots changed while it ran");
    next = x.row + x.rows;
  }
  if (!in[kOffsets]) return;
  const Operand& o = in[kO];
  for (int64_t t = next; t < plan.queries; ++t)
    for (int64_t h = 0; h < plan.heads; ++h) {
      std::byte* row = o.As<std::byte>() + SizeOf(o.dtype) * (h * o.strides[1] + t * o.strides[2]);
      std::fill_n(row, SizeOf(o.dtype) * plan.value_dim, std::byte{0});
    }
}

inline AttentionScores ScoresOf(const Instruction& in, const Piece& piece, int64_t head) {
  const bool causal = in.attributes[kCausal] != 0;
  const double left = in.attributes[kLeft];
  AttentionScores scores;
  scores.position = piece.position;
  scores.position_step = 1;
  scores.left = left < 0 ? kUnlimited : static_cast<int64_t>(left);
  scores.right = causal ? 0 : kUnlimited;
  scores.scale = static_cast<float>(in.attributes[kScale]);
  scores.softcap = static_cast<float>(in.attributes[kSoftcap]);
  const Operand &bias = in[kBias], &slopes = in[kSlopes];
  // The last column is that of the query's own key, and each query stands one further.
  scores.bias =
      bias ? bias.As<float>() + head * bias.strides[0] + bias.dims[1] - 1 - piece.position : nullptr;
  scores.bias_row = -1;
  scores.slopes = slopes ? slopes.As<float>() + head * slopes.strides[0] : nullptr;
  scores.slope_row = 0;
  return scores;
}

inline void Reference(const Instruction& in) {
  const Plan plan(in);
  std::vector<Piece> pieces(plan.sequences);
  TakePieces(in, plan, pieces.data());
  const Operand &bias = in[kBias], &o = in[kO];
  for (const Piece& piece : pieces) {
    // Rows in f64, [g, j, :].
    const auto unpacked = [&](const CacheLayout& layout, int64_t dim) {
      std::vector<double> rows(plan.kv_heads * piece.keys * dim);
      for (int64_t g = 0; g < plan.kv_heads; ++g)
        for (int64_t j = 0; j < piece.keys; ++j)
          LoadCacheRow(layout, layout.Head(piece.slot, g), j, rows.data() + (g * piece.keys + j) * dim, dim);
      return rows;
    };
    std::vector<double> keys = unpacked(plan.keys, plan.head_dim),
                        values = unpacked(plan.values, plan.value_dim);
    // bias[h, i, j] of this piece.
    std::vector<double> shifted(bias ? plan.heads * piece.queries * piece.keys : 0);
    for (size_t x = 0; x < shifted.size(); ++x) {
      const int64_t j = x % piece.keys, i = x / piece.keys % piece.queries,
                    h = x / piece.keys / piece.queries;
      const int64_t column = bias.dims[1] - 1 - (piece.position + i) + j;
      if (column < bias.dims[1]) shifted[x] = bias.As<double>()[h * bias.strides[0] + column];
    }
    const AttentionScores scores = ScoresOf(in, piece, 0);
    const Operand q = RowsOf(in[kQ], piece.batch, piece.query, piece.queries);
    std::vector<double> turned(in[kAngles] ? q.Size() : 0);
    const auto head_view = [](double* data, int64_t heads, int64_t rows, int64_t dim) {
      return reference::View4<double>{data, {1, heads, rows, dim}, {heads * rows * dim, rows * dim, dim, 1}};
    };
    reference::View4<double> queries = ViewHeads<double>(q);
    if (in[kAngles]) {
      queries = head_view(turned.data(), plan.heads, piece.queries, plan.head_dim);
      TurnHeads(AnglesOf<double>(in[kAngles], piece), in.attributes[kInterleaved] != 0, false,
                ViewHeads<double>(q), queries);
    }
    const reference::AttentionProblem<double> problem{
        queries,
        head_view(keys.data(), plan.kv_heads, piece.keys, plan.head_dim),
        head_view(values.data(), plan.kv_heads, piece.keys, plan.value_dim),
        head_view(bias ? shifted.data() : nullptr, plan.heads, piece.queries, piece.keys),
        ReferenceView<double>(in[kSlopes]),
        in.attributes[kScale],
        in.attributes[kSoftcap]};
    reference::Attention(problem,
                         {0, 0, piece.queries, 0, piece.keys, scores.position, scores.left, scores.right},
                         ViewHeads<double>(RowsOf(o, piece.batch, piece.query, piece.queries)),
                         reference::View<double>{nullptr, {}, {}}, reference::View4<double>{nullptr, {}, {}});
  }
}

}  // namespace heedful::cached_attention
