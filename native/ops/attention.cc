// Attention: o = softmax(s) · v,  lse = ln Σ_j exp(s),  probabilities = softmax(s), of the scores
//
//   s = scale · q · kᵀ;  softcap: s = softcap · tanh(s / softcap);  s += bias − slopes · |p − j|
//
// q [B, H, Tq, D], k [B, Hkv, Tk, D], v [B, Hkv, Tk, Dv], [keyLengths i32 [B]], [offsets i32 [N + 1]],
// [keyOffsets i32 [N + 1]], [bias [1|B, 1|H, Tq, Tk]], [slopes [H]], [queryAngles], [keyAngles]
// (row_angles.h: q and k are turned by them before they are multiplied, and nowhere stored so) → o [B, H, Tq,
// Dv], [lse [B, H, Tq]], [probabilities [B, H, Tq, Tk]] {scale, causal, left, right, softcap, rounds,
// interleaved}. H is a multiple of Hkv; query head h reads key-value head h / (H / Hkv). D, Dv ≤ 256.
// Layouts: lse, keyLengths, offsets, slopes: any strides; of all others the last dimension contiguous, other
// strides arbitrary. Sequences: sequence b has L = keyLengths[b] keys (Tk when not given). With offsets (B =
// 1) sequence n is the rows offsets[n] … offsets[n + 1] − 1 of q and those by keyOffsets (offsets when not
// given) of k and v; bias is read at rows and columns from 0 on for each; rows after the last offset see
// nothing. All of them are checked when it runs. Contract: k and v are never read beyond the keys of a
// sequence. Query i stands at the key p = i, or with causal 1 at p = i + L − queries, and sees the keys p −
// left ≤ j ≤ p + right (−1: no limit; right is 0 when causal is 1 or 2). A query without keys gives o = 0,
// lse = −∞. Outputs may not overlap inputs. A NaN or ∞ in v can reach queries that are masked from it. Blocks
// of keys that no query of a block sees cost nothing. Accuracy: float, exponentials to 1.7e-7 relative. With
// rounds = 1, q, k and v are rounded to bfloat16, to nearest even, and so are the weights that v is
// multiplied by, up to 2⁻⁹ of each: the f64 loops leave these as they are. Where the CPU multiplies pairs of
// bfloat16, denormals are 0. Products, sums, statistics of the softmax: f32. The result does not depend on
// the number of threads. Source: FlashAttention-2 (Dao 2023); the kernel is in
// kernels/simd/attention_forward-inl.h.

#include "ops/attention_reference.h"
#include "ops/op_list.h"
#include "runtime/dispatch.h"

namespace heedful {
namespace {

enum {
  kQ,
  kK,
  kV,
  kExtras,
  kQueryAngles = kExtras + AttentionExtras::kCount,
  kKeyAngles,
  kO,
  kLse,
  kProbabilities,
  kOperands
};

// Queries of one task: the kernel's own block.
constexpr int64_t kTaskQueries = 64;
// Fewer are multiplied with keys in place, which need not be packed.
constexpr int64_t kPackedQueries = 8;

void Check(const Instruction& in) {
  const AttentionExtras extras(in, kExtras);
  const DType dtype = in[kQ].dtype;
  const AttentionShape shape = CheckAttentionInputs("attention", in, in[kQ], in[kK], in[kV], extras);
  CheckHeadsOutput("attention: o", in[kO], dtype);
  CheckHeadDims("attention: o", in[kO], shape.batch, shape.heads, shape.queries, shape.value_dim);
  if (in[kQueryAngles]) CheckAngles("attention: queryAngles", in[kQueryAngles], in[kQ]);
  if (in[kKeyAngles]) CheckAngles("attention: keyAngles", in[kKeyAngles], in[kK]);
  if (in[kLse]) CheckLse("attention", in[kLse], shape, dtype);
  if (!in[kProbabilities]) return;
  CheckHeadsOutput("attention: probabilities", in[kProbabilities], dtype);
  CheckHeadDims("attention: probabilities", in[kProbabilities], shape.batch, shape.heads, shape.queries,
                shape.keys);
}

int64_t RoundUpLine(int64_t floats) { return (floats + 15) / 16 * 16; }

// How the work is cut: what is summed in which order, a function of the shape and the sequences alone.
struct Plan {
  AttentionExtras extras;
  AttentionShape shape;
  // One query per head: the heads of a group become queries of one task, which reads keys and values once.
  bool grouped;
  bool turned;           // keys are turned where they are packed
  int64_t heads;         // of tasks, per sequence
  int64_t sequences;     // at most
  int64_t packed_size;   // floats at most, of all key-value heads; 0: nothing is packed ahead
  int64_t head_size;     // of one of these, at most; 0: sequences are of several lengths
  int64_t scratch_size;  // floats per worker

  Plan(const Instruction& in, const KernelTable& kernels)
      : extras(in, kExtras),
        shape(in[kQ], in[kK], in[kV]),
        grouped(shape.queries == 1 && !extras.offsets && !in[kQueryAngles] && !in[kKeyAngles]),
        turned(in[kKeyAngles]),
        heads(grouped ? shape.kv_heads : shape.heads),
        sequences(extras.Sequences(shape) + 1) {
    const AttentionProducts& products = Products(in, kernels);
    const auto size = [&](int64_t keys) {
      return products.packed_size(keys, shape.head_dim, shape.value_dim) + 16;
    };
    const bool packed = turned || (!grouped && shape.queries >= kPackedQueries);
    packed_size = !packed          ? 0
                  : extras.offsets ? shape.kv_heads * (size(shape.keys) + sequences * size(1))
                                   : shape.kv_heads * sequences * size(shape.keys);
    head_size = packed && !extras.offsets
                    ? RoundUpLine(products.packed_size(shape.keys, shape.head_dim, shape.value_dim))
                    : 0;
    scratch_size = RoundUpLine(products.forward_scratch(shape.keys, shape.head_dim, shape.value_dim));
  }
  int64_t Blocks(const Sequence& s) const { return (s.queries + kTaskQueries - 1) / kTaskQueries; }
  // Floats of one key-value head of a sequence: shared by several tasks, else each packs what it needs.
  int64_t PackedSize(const Sequence& s, const AttentionProducts& products) const {
    const bool packed =
        packed_size && (turned || (s.queries >= kPackedQueries && shape.groups * Blocks(s) > 1));
    return packed ? RoundUpLine(products.packed_size(s.keys, shape.head_dim, shape.value_dim)) : 0;
  }
  // Whether a task does all that `packs` key-value heads each are read for: there are enough of them to keep
  // the threads busy to the end.
  bool ByHead(int64_t packs, int threads) const {
    return head_size && packs >= threads && (packs % threads == 0 || packs >= 8 * threads);
  }
  int64_t TableSize() const { return (2 * (sequences + 1) * int64_t(sizeof(int64_t)) + 63) / 64 * 64; }
  size_t Bytes(int threads) const {
    return TableSize() + sizeof(float) * (RoundUpLine(packed_size) + scratch_size * threads);
  }
};

size_t Workspace(const Instruction& in, int threads) {
  size_t bytes = 0;
  for (const KernelTable* kernels : AvailableKernels())
    bytes = std::max(bytes, Plan(in, *kernels).Bytes(threads));
  return bytes;
}

void Run(const Instruction& in, Context& context) {
  const Operand &q = in[kQ], &k = in[kK], &v = in[kV], &o = in[kO], &lse = in[kLse], &p = in[kProbabilities];
  const AttentionProducts& products = Products(in, context.kernels);
  const Plan plan(in, context.kernels);
  const AttentionShape& shape = plan.shape;
  const SequenceList list("attention", plan.extras, shape);
  const int64_t count = list.Count();
  // Where the blocks and the packed keys of each sequence begin.
  int64_t* const first_block = reinterpret_cast<int64_t*>(context.workspace);
  int64_t* const packed_at = first_block + count + 1;
  float* const packed = reinterpret_cast<float*>(context.workspace + plan.TableSize());
  float* const scratch = packed + RoundUpLine(plan.packed_size);
  first_block[0] = packed_at[0] = 0;
  for (int64_t s = 0; s < count; ++s) {
    first_block[s + 1] = first_block[s] + plan.Blocks(list[s]);
    packed_at[s + 1] = packed_at[s] + shape.kv_heads * plan.PackedSize(list[s], products);
  }

  const bool interleaved = in.attributes[kInterleaved] != 0;
  const auto pack = [&](const Sequence& x, int64_t g, float* to, int worker) {
    products.pack({.k = HeadData(k, x.batch, g) + x.key * k.strides[2],
                   .v = HeadData(v, x.batch, g) + x.key * v.strides[2],
                   .k_row = k.strides[2],
                   .v_row = v.strides[2],
                   .keys = x.keys,
                   .head_dim = shape.head_dim,
                   .value_dim = shape.value_dim,
                   .angles = AnglesFrom(in[kKeyAngles], x.batch, x.key, interleaved),
                   .scratch = scratch + plan.scratch_size * worker},
                  to);
  };
  // A block of the queries of a task's head h, with what was packed for it, or nullptr.
  const auto attend = [&](const Sequence& x, int64_t h, int64_t block, const float* keys, int worker) {
    const int64_t g = plan.grouped ? h : h / shape.groups, head = plan.grouped ? h * shape.groups : h;
    const int64_t first = block * kTaskQueries, row = x.query + first;
    AttentionForward a;
    a.scores = ScoresOf(in, plan.extras, x, head, first);
    if (plan.grouped) {
      const Operand &bias = plan.extras.bias, &slopes = plan.extras.slopes;
      a.scores.position_step = 0;
      if (bias) a.scores.bias_row = bias.dims[1] == 1 ? 0 : bias.strides[1];
      if (slopes) a.scores.slope_row = slopes.strides[0];
    }
    const int row_axis = plan.grouped ? 1 : 2;
    const auto rows_of = [&](const Operand& y) {
      return y ? y.As<float>() + x.batch * y.strides[0] + head * y.strides[1] + row * y.strides[2] : nullptr;
    };
    a.q = rows_of(q);
    a.q_angles = AnglesFrom(in[kQueryAngles], x.batch, row, interleaved);
    a.o = rows_of(o);
    a.lse = rows_of(lse);
    a.p = rows_of(p);
    a.q_row = q.strides[row_axis];
    a.o_row = o.strides[row_axis];
    a.lse_row = lse ? lse.strides[row_axis] : 0;
    a.p_row = p ? p.strides[row_axis] : 0;
    if (p) a.p += x.key;
    a.p_before = x.key;
    a.p_after = shape.keys - x.key - x.keys;
    a.k = HeadData(k, x.batch, g) + x.key * k.strides[2];
    a.v = HeadData(v, x.batch, g) + x.key * v.strides[2];
    a.k_row = k.strides[2];
    a.v_row = v.strides[2];
    a.queries = plan.grouped ? shape.groups : std::min(kTaskQueries, x.queries - first);
    a.keys = x.keys;
    a.head_dim = shape.head_dim;
    a.value_dim = shape.value_dim;
    a.packed = keys;
    a.scratch = scratch + plan.scratch_size * worker;
    products.forward(a);
  };

  const int64_t packs = packed_at[count] ? count * shape.kv_heads : 0;
  if (plan.ByHead(packs, context.threads())) {
    // Keys are packed where they are used at once, in memory that stays near.
    context.Parallel(packs, [&](int64_t task, int worker) {
      const int64_t s = task / shape.kv_heads, g = task % shape.kv_heads;
      const Sequence x = list[s];
      const int64_t size = plan.PackedSize(x, products);
      float* const own = size ? packed + worker * plan.head_size : nullptr;
      if (size) pack(x, g, own, worker);
      for (int64_t h = g * shape.groups; h < (g + 1) * shape.groups; ++h) {
        for (int64_t block = 0; block < plan.Blocks(x); ++block) attend(x, h, block, own, worker);
      }
    });
    return;
  }
  context.Parallel(packs, [&](int64_t task, int worker) {
    const int64_t s = task / shape.kv_heads, g = task % shape.kv_heads;
    const Sequence x = list[s];
    const int64_t size = plan.PackedSize(x, products);
    if (size) pack(x, g, packed + packed_at[s] + g * size, worker);
  });
  context.Parallel(first_block[count] * plan.heads, [&](int64_t task, int worker) {
    // By sequence, by head; the last queries first: when causal they take longest.
    const int64_t s =
        std::upper_bound(first_block, first_block + count + 1, task / plan.heads) - first_block - 1;
    const Sequence x = list[s];
    const int64_t blocks = plan.Blocks(x), rest = task - first_block[s] * plan.heads, h = rest / blocks;
    const int64_t size = plan.PackedSize(x, products), g = h / shape.groups;
    attend(x, h, blocks - 1 - rest % blocks, size ? packed + packed_at[s] + g * size : nullptr, worker);
  });
}

void Reference(const Instruction& in) {
  const AttentionExtras extras(in, kExtras);
  const SequenceList list("attention", extras, AttentionShape(in[kQ], in[kK], in[kV]));
  const bool interleaved = in.attributes[kInterleaved] != 0;
  const ReferenceHeads q(in, in[kQ], in[kQueryAngles], interleaved),
      k(in, in[kK], in[kKeyAngles], interleaved), v(in, in[kV]);
  const auto problem = ReferenceProblem(in, q, k, v, extras);
  const auto probabilities = ViewHeadsIf<double>(in[kProbabilities]);
  ForSequences(in, extras, list, [&](const reference::AttentionSequence& s) {
    reference::Attention(problem, s, ViewHeads<double>(in[kO]), ReferenceView<double>(in[kLse]),
                         probabilities);
  });
}

}  // namespace

const OpInfo kAttentionOp = {"attention", kO,  kOperands - kO, kAttentionAttributes, Check,
                             Workspace,   Run, Reference};

}  // namespace heedful
