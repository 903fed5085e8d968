// CachedAttention: o = softmax(s) · v of the keys and values of a key-value cache,
//   s = scale · q · kᵀ;  softcap: s = softcap · tanh(s / softcap);  s += bias[h, W − 1 − p + j] − slopes[h] ·
//   (p − j)
//
// q [B, H, T, D], keys and values of Hkv heads and capacity C (cache_format.h), keyLengths i32 [N], [offsets
// i32 [N + 1]], [slots i32 [N]] (cache_rows.h; N = B without offsets), [bias [H, W]], [slopes [H]], [angles]
// (row_angles.h: q is turned by them, and nowhere stored so; keys lie turned in the cache) → o [B, H, T, Dv]
// {scale, causal, format, left, softcap, interleaved, rounds: Attention's, of more queries than are
// streamed}. H is a multiple of Hkv; query head h reads key-value head h / (H / Hkv). D, Dv ≤ 256. Layouts:
// q, o: last dimension contiguous, other strides arbitrary; so are caches of f32. bias: rows contiguous.
// Contract: sequence s has L = keyLengths[s] keys in its slot, at most C and W, checked when it runs; the
// cache is never read beyond. Query i of its Ts stands at the key p = i + L − Ts. When causal it sees keys p
// − left ≤ j ≤ p (left −1: no limit), else all L; left, bias and slopes go with causal. A query without keys,
// and rows of q behind the last offset, give o = 0. o may not overlap inputs. Few queries stream the cache
// once for all heads that share it, cut into runs of keys whose size depends on shapes alone; more of them go
// through Attention, after a cache that is not f32 was made so. Accuracy: float, of the numbers that the
// cache holds. The result does not depend on the number of threads, nor on the other sequences. Source:
// Flash-Decoding (Dao, Haziza, Massa & Sizov 2023); the kernel is in kernels/simd/cached_attention-inl.h.

#include "ops/cached_attention_pieces.h"
#include "ops/op_list.h"
#include "runtime/dispatch.h"

namespace heedful {
namespace {

namespace op = cached_attention;
using cached_attention::AnglesOf, cached_attention::RowsOf, cached_attention::ScoresOf;
using cached_attention::kFewRows, cached_attention::Piece, cached_attention::Plan;
using cached_attention::TakePieces;

void Check(const Instruction& in) {
  const Operand &q = in[op::kQ], &keys = in[op::kKeys], &values = in[op::kValues], &o = in[op::kO];
  CheckHeads("cachedAttention: q", q, q.dtype);
  CheckHeadsOutput("cachedAttention: o", o, q.dtype);
  HEEDFUL_CHECK(keys && keys.rank == 4, "cachedAttention: keys must have 4 dimensions");
  const int64_t slots = keys.dims[0], kv_heads = keys.dims[1];
  CheckHeadDims("cachedAttention: o", o, q.dims[0], q.dims[1], q.dims[2], o.dims[3]);
  const double format = in.attributes[op::kFormat];
  CheckCache("cachedAttention: keys", keys, format, q.dtype, slots, kv_heads, q.dims[3]);
  CheckCache("cachedAttention: values", values, format, q.dtype, slots, kv_heads, o.dims[3]);
  HEEDFUL_CHECK(keys.dims[2] == values.dims[2],
                "cachedAttention: keys and values must be caches of one capacity");
  HEEDFUL_CHECK(kv_heads > 0 && q.dims[1] % kv_heads == 0,
                "cachedAttention: the heads of q must be a multiple of those of the keys");
  CachedSequences::Check("cachedAttention", q, in[op::kOffsets], in[op::kSlots], keys);
  const int64_t sequences = in[op::kOffsets] ? in[op::kOffsets].dims[0] - 1 : q.dims[0];
  HEEDFUL_CHECK(in[op::kLengths], "cachedAttention: keyLengths are missing");
  CheckVector("cachedAttention: keyLengths", in[op::kLengths], sequences, DType::kI32);
  const Operand &bias = in[op::kBias], &slopes = in[op::kSlopes];
  if (in[op::kAngles]) CheckAngles("cachedAttention: angles", in[op::kAngles], q);
  if (slopes) CheckVector("cachedAttention: slopes", slopes, q.dims[1], q.dtype);
  if (bias) {
    HEEDFUL_CHECK(
        bias.dtype == q.dtype && bias.rank == 2 && bias.dims[0] == q.dims[1] &&
            (bias.dims[1] <= 1 || bias.strides[1] == 1),
        "cachedAttention: bias must be [heads, capacity] of the dtype of q, but is " + ShapeText(bias));
  }
  const double causal = in.attributes[op::kCausal], left = in.attributes[op::kLeft];
  HEEDFUL_CHECK(causal == 0 || causal == 1, "cachedAttention: causal must be 0 or 1");
  HEEDFUL_CHECK(left >= -1 && left < kUnlimited && left == std::floor(left),
                "cachedAttention: left must be -1 or a number of keys");
  HEEDFUL_CHECK(causal == 1 || (left == -1 && !bias && !slopes),
                "cachedAttention: left, bias and slopes go with causal");
  HEEDFUL_CHECK(in.attributes[op::kSoftcap] >= 0, "cachedAttention: softcap must not be negative");
  const double rounding = in.attributes[op::kRounding];
  HEEDFUL_CHECK(rounding == 0 || rounding == 1, "cachedAttention: rounds must be 0 or 1");
}

template <class T>
Operand HeadsOf(T* data, int64_t heads, int64_t length, int64_t dim) {
  Operand x;
  x.data = data;
  x.dtype = sizeof(T) == sizeof(double) ? DType::kF64 : DType::kF32;
  x.present = true;
  x.rank = 4;
  const int64_t dims[] = {1, heads, length, dim};
  const int64_t strides[] = {heads * length * dim, length * dim, dim, 1};
  std::copy_n(dims, 4, x.dims);
  std::copy_n(strides, 4, x.strides);
  return x;
}

// Attention of the queries of one sequence to these keys and values, of which the first count[0] are there.
Instruction AsAttention(const Instruction& in, const Piece& piece, const Operand& keys, const Operand& values,
                        int32_t* count) {
  Instruction attention;
  attention.op = &kAttentionOp;
  // No limit to the right: causal says it.
  const double attributes[] = {in.attributes[op::kScale], in.attributes[op::kCausal],
                               in.attributes[op::kLeft], -1, in.attributes[op::kSoftcap]};
  std::copy_n(attributes, 5, attention.attributes);
  attention.attributes[kInterleaved] = in.attributes[op::kInterleaved];
  attention.attributes[kRounds] = in.attributes[op::kRounding];
  attention.operands.resize(kAttentionOp.inputs + kAttentionOp.outputs);
  attention.operands[0] = RowsOf(in[op::kQ], piece.batch, piece.query, piece.queries);
  attention.operands[1] = keys;
  attention.operands[2] = values;
  Operand& lengths = attention.operands[3];
  lengths.data = count;
  lengths.dtype = DType::kI32;
  lengths.present = true;
  lengths.rank = 1;
  lengths.dims[0] = lengths.strides[0] = 1;
  attention.operands[7] = in[op::kSlopes];
  attention.operands[8] = AnglesOf<float>(in[op::kAngles], piece);
  attention.operands[kAttentionOp.inputs] = RowsOf(in[op::kO], piece.batch, piece.query, piece.queries);
  return attention;
}

// Keys or values of one slot of a cache of f32.
Operand SlotOf(const Operand& cache, int64_t slot) { return RowsOf(cache, slot, 0, cache.dims[2]); }

// The same of a cache in f32, or of a copy in `copies` that is.
Instruction AsAttention(const Instruction& in, const Plan& plan, const Piece& piece, int32_t* count,
                        float* copies) {
  if (plan.format == CacheFormat::f32)
    return AsAttention(in, piece, SlotOf(in[op::kKeys], piece.slot), SlotOf(in[op::kValues], piece.slot),
                       count);
  const int64_t capacity = plan.keys.capacity;
  return AsAttention(in, piece, HeadsOf(copies, plan.kv_heads, capacity, plan.head_dim),
                     HeadsOf(copies + plan.KeyFloats(), plan.kv_heads, capacity, plan.value_dim), count);
}

size_t Workspace(const Instruction& in, int threads) {
  const Plan plan(in);
  int64_t scratch = 0;
  for (const KernelTable* kernels : AvailableKernels()) scratch = std::max(scratch, plan.Scratch(*kernels));
  const int64_t streamed = plan.Parts() * plan.rows * plan.o_row + 2 * plan.SumFloats() + scratch * threads;
  size_t bytes = sizeof(float) * static_cast<size_t>(streamed);
  if (plan.MayBeMany() && !in[op::kBias]) {
    int32_t count = 0;
    const Piece all{0, 0, plan.queries, 0, 0, 0};
    const int64_t copied = plan.format == CacheFormat::f32 ? 0 : plan.KeyFloats() + plan.ValueFloats();
    bytes = std::max(bytes, sizeof(float) * static_cast<size_t>(copied) +
                                kAttentionOp.workspace(AsAttention(in, plan, all, &count, nullptr), threads));
  }
  return sizeof(float) * static_cast<size_t>(plan.PieceFloats()) + bytes;
}

void RunMany(const Instruction& in, Context& context, const Plan& plan, const Piece& piece, float* memory) {
  int32_t count = static_cast<int32_t>(piece.keys);
  const Instruction attention = AsAttention(in, plan, piece, &count, memory);
  if (plan.format != CacheFormat::f32) {
    const int64_t per_head = CeilDiv(piece.keys, kCachedRun);
    float* const keys = memory;
    float* const values = memory + plan.KeyFloats();
    context.Parallel(plan.kv_heads * per_head, [&](int64_t task, int) {
      const int64_t g = task / per_head, begin = task % per_head * kCachedRun;
      for (int64_t j = begin; j < std::min(piece.keys, begin + kCachedRun); ++j) {
        const int64_t row = g * plan.keys.capacity + j;
        LoadCacheRow(plan.keys, plan.keys.Head(piece.slot, g), j, keys + row * plan.head_dim, plan.head_dim);
        LoadCacheRow(plan.values, plan.values.Head(piece.slot, g), j, values + row * plan.value_dim,
                     plan.value_dim);
      }
    });
    memory += plan.KeyFloats() + plan.ValueFloats();
  }
  Context rest{context.kernels, context.pool, reinterpret_cast<std::byte*>(memory), context.aborted};
  kAttentionOp.run(attention, rest);
}

// Pieces of at most plan.few queries.
void RunFew(const Instruction& in, Context& context, const Plan& plan, const Piece* pieces, int64_t count,
            float* memory) {
  const Operand &q = in[op::kQ], &o = in[op::kO], &bias = in[op::kBias], &slopes = in[op::kSlopes];
  const CachedAttentionKernels& kernels = context.kernels.cached_attention;
  const int64_t scratch_size = plan.Scratch(context.kernels), part_size = plan.rows * plan.o_row;
  float* const parts = memory;
  float* const row_max = parts + plan.Parts() * part_size;
  float* const row_sum = row_max + plan.SumFloats();
  float* const scratch = row_sum + plan.SumFloats();
  const double limit = in.attributes[op::kLeft];
  // Runs of keys that a piece sees.
  const auto seen = [&](const Piece& piece) -> std::pair<int64_t, int64_t> {
    if (piece.queries == 0) return {0, 0};
    const double first = limit < 0 ? 0 : std::max<double>(0, static_cast<double>(piece.position) - limit);
    return {static_cast<int64_t>(first) / plan.run, CeilDiv(piece.keys, plan.run)};
  };
  int64_t runs = 0;
  for (int64_t s = 0; s < count; ++s) runs = std::max(runs, seen(pieces[s]).second);

  context.Parallel(count * plan.kv_heads * runs, [&](int64_t task, int worker) {
    const int64_t c = task % runs, pair = task / runs, s = pair / plan.kv_heads, g = pair % plan.kv_heads;
    const Piece& piece = pieces[s];
    const auto [first, last] = seen(piece);
    if (c < first || c >= last) return;
    const int64_t part = pair * plan.runs + c, rows = plan.groups * piece.queries;
    CachedAttention a;
    a.bias_head = bias ? bias.strides[0] : 0;
    a.slope_head = slopes ? slopes.strides[0] : 0;
    a.q_head = q.strides[1];
    a.q_row = q.strides[2];
    a.k = reinterpret_cast<const char*>(plan.keys.Head(piece.slot, g));
    a.v = reinterpret_cast<const char*>(plan.values.Head(piece.slot, g));
    a.k_row = plan.keys.row;
    a.k_group = plan.keys.group;
    a.v_row = plan.values.row;
    a.v_group = plan.values.group;
    a.begin = c * plan.run;
    a.end = std::min(piece.keys, a.begin + plan.run);
    a.queries = piece.queries;
    a.head_dim = static_cast<int>(plan.head_dim);
    a.value_dim = static_cast<int>(plan.value_dim);
    a.o_row = plan.o_row;
    a.scratch = scratch + scratch_size * worker;
    // More rows than kFewRows are heads with one query each: the run is near after the first of them.
    for (int64_t r = 0; r < rows; r += kFewRows) {
      const int64_t head = g * plan.groups + r / piece.queries;
      a.scores = ScoresOf(in, piece, head);
      a.q = HeadData(q, piece.batch, head) + piece.query * q.strides[2];
      a.q_angles =
          AnglesFrom(in[op::kAngles], piece.batch, piece.query, in.attributes[op::kInterleaved] != 0);
      a.rows = std::min(rows - r, kFewRows);
      a.o = parts + part * part_size + r * plan.o_row;
      a.row_max = row_max + part * plan.rows + r;
      a.row_sum = row_sum + part * plan.rows + r;
      kernels.run[static_cast<int>(plan.format)](a);
    }
  });
  const int64_t pairs = count * plan.kv_heads;
  ForTasks(context, pairs, pairs * runs * part_size, [&](int64_t pair) {
    const int64_t s = pair / plan.kv_heads, g = pair % plan.kv_heads;
    const Piece& piece = pieces[s];
    const auto [first, last] = seen(piece);
    const int64_t part = pair * plan.runs + first;
    for (int64_t r = 0; r < plan.groups * piece.queries; ++r) {
      kernels.merge(parts + part * part_size + r * plan.o_row, part_size, row_max + part * plan.rows + r,
                    row_sum + part * plan.rows + r, plan.rows, std::max<int64_t>(0, last - first),
                    static_cast<int>(plan.value_dim),
                    HeadData(o, piece.batch, g * plan.groups + r / piece.queries) +
                        (piece.query + r % piece.queries) * o.strides[2]);
    }
  });
}

void Run(const Instruction& in, Context& context) {
  const Plan plan(in);
  Piece* const pieces = reinterpret_cast<Piece*>(context.workspace);
  TakePieces(in, plan, pieces);
  if (in[op::kO].Size() == 0) return;
  float* const memory = reinterpret_cast<float*>(context.workspace) + plan.PieceFloats();
  // Those with many queries first, one by one; the others move together.
  int64_t few = 0;
  for (int64_t s = 0; s < plan.sequences; ++s) {
    const Piece piece = pieces[s];
    if (piece.queries <= plan.few) {
      pieces[few++] = piece;
    } else if (!in[op::kBias]) {
      RunMany(in, context, plan, piece, memory);
    } else {
      for (int64_t t = 0; t < piece.queries; t += plan.few) {
        const int64_t queries = std::min(plan.few, piece.queries - t), position = piece.position + t;
        const Piece part{piece.batch, piece.query + t, queries, piece.slot, position + queries, position};
        RunFew(in, context, plan, &part, 1, memory);
      }
    }
  }
  if (few) RunFew(in, context, plan, pieces, few, memory);
}

}  // namespace

const OpInfo kCachedAttentionOp = {
    .name = "cachedAttention",
    .inputs = op::kO,
    .outputs = 1,
    .attributes = op::kAttributes,
    .check = Check,
    .workspace = Workspace,
    .run = Run,
    .reference = op::Reference,
    // The caches are; the rest is copied here.
    .integers_are_data = true,
};

}  // namespace heedful
