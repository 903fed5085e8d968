// AttentionGradient: the gradients of Attention (attention.cc) by q, k and v; probabilities come back from
// lse.
//
//   p = exp(scale · q · kᵀ − lse);  dV = pᵀ · dO;  dS = scale · p ⊙ (dO · vᵀ − Σ_e dO ⊙ o)
//   dQ = dS · k;  dK = dSᵀ · q; dK and dV sum over the query heads that share a key-value head.
// q, k, v, o, lse, dO like o, [keyLengths i32 [B]] → dQ, dK, dV like q, k, v {scale, causal}
// Layouts: lse contiguous, keyLengths any stride; of all others the last dimension contiguous, other strides
// arbitrary.
// Contract: o and lse are what Attention gave for the same inputs. k and v are never read at rows ≥
// keyLengths[b]; dK and dV are 0 there. Outputs may not overlap inputs. Accuracy: float. The result does not
// depend on the number of threads. Source: FlashAttention-2 (Dao 2023); the kernel is in
// kernels/simd/attention_backward-inl.h.

#include "kernels/reference/attention.h"
#include "ops/attention_shape.h"
#include "ops/op_list.h"
#include "runtime/dispatch.h"

namespace heedful {
namespace {

enum { kQ, kK, kV, kO, kLse, kGradO, kLengths, kGradQ, kGradK, kGradV };
enum { kScale, kCausal };

void Check(const Instruction& in) {
  const std::string op = "attentionGradient";
  const Operand &q = in[kQ], &k = in[kK], &v = in[kV];
  const AttentionShape shape = CheckAttentionInputs(op, q, k, v, in[kLengths]);
  const auto check_like_o = [&](const char* name, const Operand& x) {
    CheckHeads(op + ": " + name, x, q.dtype);
    CheckHeadDims(op + ": " + name, x, shape.batch, shape.heads, shape.queries, shape.value_dim);
  };
  const auto check_output = [&](const char* name, const Operand& x, int64_t heads, int64_t length,
                                int64_t dim) {
    CheckHeadsOutput(op + ": " + name, x, q.dtype);
    CheckHeadDims(op + ": " + name, x, shape.batch, heads, length, dim);
  };
  check_like_o("o", in[kO]);
  check_like_o("dO", in[kGradO]);
  check_output("dQ", in[kGradQ], shape.heads, shape.queries, shape.head_dim);
  check_output("dK", in[kGradK], shape.kv_heads, shape.keys, shape.head_dim);
  check_output("dV", in[kGradV], shape.kv_heads, shape.keys, shape.value_dim);
  HEEDFUL_CHECK(in[kLse], op + ": lse is missing");
  CheckLse(op, in[kLse], shape, q.dtype);
}

int64_t ScratchSize(const AttentionShape& shape, const KernelTable& kernels) {
  const int64_t floats =
      kernels.attention.backward_scratch(shape.queries, shape.keys, shape.head_dim, shape.value_dim);
  return (floats + 15) / 16 * 16;
}

size_t Workspace(const Instruction& in, int threads) {
  const AttentionShape shape(in[kQ], in[kK], in[kV]);
  int64_t floats = 0;
  for (const KernelTable* kernels : AvailableKernels())
    floats = std::max(floats, ScratchSize(shape, *kernels));
  return sizeof(float) * floats * threads;
}

void Run(const Instruction& in, Context& context) {
  const Operand &q = in[kQ], &k = in[kK], &v = in[kV], &o = in[kO], &d_o = in[kGradO];
  const Operand &d_q = in[kGradQ], &d_k = in[kGradK], &d_v = in[kGradV];
  const AttentionShape shape(q, k, v);
  const AttentionMask mask("attentionGradient", in[kLengths], shape, in.attributes[kCausal]);
  const int64_t scratch_size = ScratchSize(shape, context.kernels);

  context.Parallel(shape.batch * shape.kv_heads, [&](int64_t task, int worker) {
    const int64_t b = task / shape.kv_heads, g = task % shape.kv_heads, h = g * shape.groups;
    AttentionBackward a;
    a.q = HeadData(q, b, h);
    a.k = HeadData(k, b, g);
    a.v = HeadData(v, b, g);
    a.o = HeadData(o, b, h);
    a.d_o = HeadData(d_o, b, h);
    a.lse = in[kLse].As<float>() + (b * shape.heads + h) * shape.queries;
    a.d_q = HeadData(d_q, b, h);
    a.d_k = HeadData(d_k, b, g);
    a.d_v = HeadData(d_v, b, g);
    a.q_row = q.strides[2];
    a.k_row = k.strides[2];
    a.v_row = v.strides[2];
    a.o_row = o.strides[2];
    a.d_o_row = d_o.strides[2];
    a.d_q_row = d_q.strides[2];
    a.d_k_row = d_k.strides[2];
    a.d_v_row = d_v.strides[2];
    a.q_head = q.strides[1];
    a.o_head = o.strides[1];
    a.d_o_head = d_o.strides[1];
    a.d_q_head = d_q.strides[1];
    a.lse_head = shape.queries;
    a.queries = shape.queries;
    a.keys = mask.Keys(b);
    a.total_keys = shape.keys;
    a.head_dim = shape.head_dim;
    a.value_dim = shape.value_dim;
    a.groups = static_cast<int>(shape.groups);
    a.scale = static_cast<float>(in.attributes[kScale]);
    a.causal = mask.IsCausal();
    a.causal_offset = mask.CausalOffset(a.keys);
    a.scratch = reinterpret_cast<float*>(context.workspace) + scratch_size * worker;
    context.kernels.attention.backward(a);
  });
}

void Reference(const Instruction& in) {
  const AttentionShape shape(in[kQ], in[kK], in[kV]);
  const AttentionMask mask("attentionGradient", in[kLengths], shape, in.attributes[kCausal]);
  const auto view = [&](int i) { return ViewHeads<double>(in[i]); };
  reference::AttentionGradient(view(kQ), view(kK), view(kV), view(kO), in[kLse].As<const double>(),
                               view(kGradO), mask, view(kGradQ), view(kGradK), view(kGradV),
                               in.attributes[kScale]);
}

}  // namespace

const OpInfo kAttentionGradientOp = {"attentionGradient", 7, 3, 2, Check, Workspace, Run, Reference};

}  // namespace heedful
