// Attention: o = softmax(scale · q · kᵀ + mask) · v,  lse = ln Σ_j exp(scale · q · kᵀ + mask)
//
// q [B, H, Tq, D], k [B, Hkv, Tk, D], v [B, Hkv, Tk, Dv], [keyLengths i32 [B]] → o [B, H, Tq, Dv], [lse [B,
// H, Tq]] {scale, causal}. H is a multiple of Hkv; query head h reads key-value head h / (H / Hkv). D, Dv ≤
// 256. Layouts: q, k, v, o: last dimension contiguous, other strides arbitrary; keyLengths: any stride; lse
// contiguous. Contract: sequence b has L = keyLengths[b] keys (Tk when not given), checked when it runs; k
// and v are never read beyond. Query i sees all of them (causal 0), keys j ≤ i + L − Tq (1) or j ≤ i (2). A
// query without keys gives o = 0, lse = −∞. Outputs may not overlap inputs. A NaN or ∞ in v can reach queries
// that are masked from it. Accuracy: float, exponentials to 1.8e-7 relative. The result does not depend on
// the number of threads. Source: FlashAttention-2 (Dao 2023); the kernel is in
// kernels/simd/attention_forward-inl.h.

#include "kernels/reference/attention.h"

#include "ops/attention_shape.h"
#include "ops/op_list.h"
#include "runtime/dispatch.h"

namespace heedful {
namespace {

enum { kQ, kK, kV, kLengths, kO, kLse };
enum { kScale, kCausal };

// Queries of one task: the kernel's own block.
constexpr int64_t kTaskQueries = 64;

void Check(const Instruction& in) {
  const AttentionShape shape = CheckAttentionInputs("attention", in[kQ], in[kK], in[kV], in[kLengths]);
  CheckHeadsOutput("attention: o", in[kO], in[kQ].dtype);
  CheckHeadDims("attention: o", in[kO], shape.batch, shape.heads, shape.queries, shape.value_dim);
  if (in[kLse]) CheckLse("attention", in[kLse], shape, in[kQ].dtype);
}

// How the work is cut, a function of the shape alone.
struct Plan {
  AttentionShape shape;
  // One query per head: the heads of a group become queries of one task, which reads keys and values once.
  bool grouped;
  int64_t heads, blocks;  // of tasks, per sequence
  int64_t packed_size;    // floats per key-value head; 0: its keys are not packed ahead
  int64_t scratch_size;   // floats per worker

  Plan(const Instruction& in, const KernelTable& kernels)
      : shape(in[kQ], in[kK], in[kV]),
        grouped(shape.queries == 1),
        heads(grouped ? shape.kv_heads : shape.heads),
        blocks((shape.queries + kTaskQueries - 1) / kTaskQueries) {
    const AttentionKernels& attention = kernels.attention;
    // Shared by several tasks; with few queries dot products need no packing.
    const bool packed = !grouped && shape.groups * blocks > 1 && shape.queries >= 8;
    packed_size = packed ? RoundUpLine(attention.packed_keys_size(shape.keys, shape.head_dim)) : 0;
    scratch_size = RoundUpLine(attention.forward_scratch(shape.keys, shape.head_dim, shape.value_dim));
  }

  static int64_t RoundUpLine(int64_t floats) { return (floats + 15) / 16 * 16; }
  size_t Bytes(int threads) const {
    return sizeof(float) * (packed_size * shape.batch * shape.kv_heads + scratch_size * threads);
  }
};

size_t Workspace(const Instruction& in, int threads) {
  size_t bytes = 0;
  for (const KernelTable* kernels : AvailableKernels())
    bytes = std::max(bytes, Plan(in, *kernels).Bytes(threads));
  return bytes;
}

void Run(const Instruction& in, Context& context) {
  const Operand &q = in[kQ], &k = in[kK], &v = in[kV], &o = in[kO], &lse = in[kLse];
  const AttentionKernels& kernels = context.kernels.attention;
  const Plan plan(in, context.kernels);
  const AttentionShape& shape = plan.shape;
  const AttentionMask mask("attention", in[kLengths], shape, in.attributes[kCausal]);
  float* const packed = reinterpret_cast<float*>(context.workspace);
  float* const scratch = packed + plan.packed_size * shape.batch * shape.kv_heads;

  if (plan.packed_size) {
    context.Parallel(shape.batch * shape.kv_heads, [&](int64_t task, int) {
      const int64_t b = task / shape.kv_heads, g = task % shape.kv_heads;
      kernels.pack_keys(HeadData(k, b, g), k.strides[2], mask.Keys(b), shape.head_dim,
                        packed + plan.packed_size * task);
    });
  }
  context.Parallel(shape.batch * plan.heads * plan.blocks, [&](int64_t task, int worker) {
    // The last queries first: when causal they take longest.
    const int64_t block = plan.blocks - 1 - task % plan.blocks, head = task / plan.blocks;
    const int64_t b = head / plan.heads, h = head % plan.heads;
    const int64_t g = plan.grouped ? h : h / shape.groups, first_head = plan.grouped ? h * shape.groups : h;
    const int64_t first = block * kTaskQueries, keys = plan.grouped ? mask(b, 0) : mask.Keys(b);
    AttentionForward a;
    a.q_row = plan.grouped ? q.strides[1] : q.strides[2];
    a.o_row = plan.grouped ? o.strides[1] : o.strides[2];
    a.k_row = k.strides[2];
    a.v_row = v.strides[2];
    a.q = HeadData(q, b, first_head) + first * a.q_row;
    a.o = HeadData(o, b, first_head) + first * a.o_row;
    a.k = HeadData(k, b, g);
    a.v = HeadData(v, b, g);
    a.lse = lse ? lse.As<float>() + (b * shape.heads + first_head) * shape.queries + first : nullptr;
    a.queries = plan.grouped ? shape.groups : std::min(kTaskQueries, shape.queries - first);
    a.keys = keys;
    a.head_dim = shape.head_dim;
    a.value_dim = shape.value_dim;
    a.scale = static_cast<float>(in.attributes[kScale]);
    a.causal = mask.IsCausal() && !plan.grouped;
    a.causal_offset = mask.CausalOffset(keys) + first;
    a.packed_k = plan.packed_size ? packed + plan.packed_size * (b * shape.kv_heads + g) : nullptr;
    a.scratch = scratch + plan.scratch_size * worker;
    kernels.forward(a);
  });
}

void Reference(const Instruction& in) {
  const AttentionShape shape(in[kQ], in[kK], in[kV]);
  const AttentionMask mask("attention", in[kLengths], shape, in.attributes[kCausal]);
  reference::Attention(ViewHeads<double>(in[kQ]), ViewHeads<double>(in[kK]), ViewHeads<double>(in[kV]), mask,
                       ViewHeads<double>(in[kO]), in[kLse] ? in[kLse].As<double>() : nullptr,
                       in.attributes[kScale]);
}

}  // namespace

const OpInfo kAttentionOp = {"attention", 4, 2, 2, Check, Workspace, Run, Reference};

}  // namespace heedful
