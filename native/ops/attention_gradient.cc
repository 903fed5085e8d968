// AttentionGradient: the gradients of Attention (attention.cc) by q, k, v and bias; probabilities come back
// from lse.
//
//   p = exp(s − lse);  dV = pᵀ · dO;  dBias = p ⊙ (dO · vᵀ − Σ_e dO ⊙ o);  dS = scale · dBias, with a soft
//   cap times 1 − tanh²;  dQ = dS · k;  dK = dSᵀ · q
// dK and dV sum over the query heads that share a key-value head, dBias over what bias is broadcast to.
// q, k, v, o, lse, dO like o, [keyLengths], [offsets], [keyOffsets], [bias], [slopes] → dQ, dK, dV, [dBias]
// like q, k, v, bias {scale, causal, left, right, softcap, rounds}. Layouts as for Attention.
// Contract: o and lse are what Attention gave for the same inputs. k and v are never read beyond the keys of
// a sequence; gradients of rows that count for nothing are 0. Outputs may not overlap inputs. Accuracy:
// float. With rounds = 1, q, k, v and dO are rounded to bfloat16, and so are p and dS where they are
// multiplied, up to 2⁻⁹ of each, which the f64 loops leave as they are. The result does not depend on the
// number of threads: what adds to one bias runs one after another. Source: FlashAttention-2 (Dao 2023); the
// kernel is in kernels/simd/attention_backward-inl.h.

#include "ops/attention_reference.h"
#include "ops/chunks.h"
#include "ops/op_list.h"
#include "runtime/dispatch.h"

namespace heedful {
namespace {

enum { kQ, kK, kV, kO, kLse, kGradO, kExtras };
enum { kGradQ = kExtras + AttentionExtras::kCount, kGradK, kGradV, kGradBias, kOperands };

void Check(const Instruction& in) {
  const std::string op = "attentionGradient";
  const Operand &q = in[kQ], &k = in[kK], &v = in[kV], &bias = in[kGradBias];
  const AttentionExtras extras(in, kExtras);
  const AttentionShape shape = CheckAttentionInputs(op, in, q, k, v, extras);
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
  if (!bias) return;
  HEEDFUL_CHECK(extras.bias, op + ": dBias needs bias");
  const int64_t* const d = extras.bias.dims;
  CheckHeadsOutput(op + ": dBias", bias, q.dtype);
  CheckHeadDims(op + ": dBias", bias, d[0], d[1], d[2], d[3]);
}

int64_t ScratchSize(const Instruction& in, const AttentionShape& shape, const KernelTable& kernels) {
  const int64_t floats =
      Products(in, kernels).backward_scratch(shape.queries, shape.keys, shape.head_dim, shape.value_dim);
  return (floats + 15) / 16 * 16;
}

// How the work is cut, a function of shapes alone: a task is what writes to places of its own.
struct Cut {
  bool join_sequences, join_heads;  // what adds to one dBias
  int64_t sequences, heads;         // of tasks: key-value heads
  int64_t parts;   // of a key-value head: its query heads, where there would be too few tasks; else 1
  int64_t floats;  // dK and dV of the parts after the first, which are added up in the end

  explicit Cut(const Instruction& in) {
    // Fewer tasks would leave threads without work.
    constexpr int64_t kFewTasks = 8;
    const AttentionShape shape(in[kQ], in[kK], in[kV]);
    const AttentionExtras extras(in, kExtras);
    const Operand& d_bias = in[kGradBias];
    const int64_t count = extras.Sequences(shape) + (extras.offsets ? 1 : 0);
    join_sequences = d_bias && d_bias.dims[0] == 1 && count > 1;
    join_heads = d_bias && d_bias.dims[1] == 1;
    sequences = join_sequences ? 1 : count;
    heads = join_heads ? 1 : shape.kv_heads;
    parts = !join_sequences && !join_heads && sequences * heads < kFewTasks ? shape.groups : 1;
    floats = parts > 1 ? shape.batch * shape.kv_heads * (parts - 1) * PartSize(shape) : 0;
  }
  static int64_t PartSize(const AttentionShape& shape) {
    return shape.keys * (shape.head_dim + shape.value_dim);
  }
};

size_t Workspace(const Instruction& in, int threads) {
  const AttentionShape shape(in[kQ], in[kK], in[kV]);
  int64_t floats = 0;
  for (const KernelTable* kernels : AvailableKernels())
    floats = std::max(floats, ScratchSize(in, shape, *kernels));
  return sizeof(float) * (floats * threads + Cut(in).floats);
}

// Keys of one task of that sum.
constexpr int64_t kSumKeys = 64;

// x = 0 at [b, h, :, :].
void ZeroHead(const Operand& x, int64_t b, int64_t h) {
  for (int64_t t = 0; t < x.dims[2]; ++t) {
    float* row = HeadData(x, b, h) + t * x.strides[2];
    std::fill(row, row + x.dims[3], 0.0f);
  }
}

void Run(const Instruction& in, Context& context) {
  const Operand &q = in[kQ], &k = in[kK], &v = in[kV], &o = in[kO], &d_o = in[kGradO], &lse = in[kLse];
  const Operand &d_q = in[kGradQ], &d_k = in[kGradK], &d_v = in[kGradV], &d_bias = in[kGradBias];
  const AttentionShape shape(q, k, v);
  const AttentionExtras extras(in, kExtras);
  const SequenceList list("attentionGradient", extras, shape);
  const int64_t scratch_size = ScratchSize(in, shape, context.kernels), count = list.Count();
  const Cut cut(in);
  float* const scratch = reinterpret_cast<float*>(context.workspace);
  float* const partial = scratch + scratch_size * context.threads();
  // dK of a part after the first, [batch][key-value head][part][keys][head_dim]; dV follows it.
  const auto part_of = [&](int64_t b, int64_t g, int64_t part) {
    return partial + ((b * shape.kv_heads + g) * (cut.parts - 1) + part - 1) * Cut::PartSize(shape);
  };

  const auto run = [&](int64_t sequence, int64_t g, int64_t part, int worker) {
    const Sequence x = list[sequence];
    const int64_t b = x.batch, h = g * shape.groups + part;
    const auto queries_of = [&](const Operand& y) { return HeadData(y, b, h) + x.query * y.strides[2]; };
    const auto keys_of = [&](const Operand& y) { return HeadData(y, b, g) + x.key * y.strides[2]; };
    AttentionBackward a;
    a.scores = ScoresOf(in, extras, x, h, 0);
    a.bias_head = extras.bias && extras.bias.dims[1] > 1 ? extras.bias.strides[1] : 0;
    a.slope_head = extras.slopes ? extras.slopes.strides[0] : 0;
    a.q = queries_of(q);
    a.o = queries_of(o);
    a.d_o = queries_of(d_o);
    a.lse = queries_of(lse);
    a.d_q = queries_of(d_q);
    a.k = keys_of(k);
    a.v = keys_of(v);
    a.d_k = keys_of(d_k);
    a.d_v = keys_of(d_v);
    a.q_row = q.strides[2];
    a.k_row = k.strides[2];
    a.v_row = v.strides[2];
    a.o_row = o.strides[2];
    a.d_o_row = d_o.strides[2];
    a.lse_row = lse.strides[2];
    a.d_q_row = d_q.strides[2];
    a.d_k_row = d_k.strides[2];
    a.d_v_row = d_v.strides[2];
    if (part > 0) {
      a.d_k = part_of(b, g, part) + x.key * shape.head_dim;
      a.d_v = part_of(b, g, part) + shape.keys * shape.head_dim + x.key * shape.value_dim;
      a.d_k_row = shape.head_dim;
      a.d_v_row = shape.value_dim;
    }
    a.q_head = q.strides[1];
    a.o_head = o.strides[1];
    a.d_o_head = d_o.strides[1];
    a.lse_head = lse.strides[1];
    a.d_q_head = d_q.strides[1];
    a.d_bias = nullptr;
    a.d_bias_row = a.d_bias_head = 0;
    if (d_bias) {
      a.d_bias_row = d_bias.strides[2];
      a.d_bias_head = d_bias.dims[1] > 1 ? d_bias.strides[1] : 0;
      a.d_bias = HeadData(d_bias, d_bias.dims[0] > 1 ? b : 0, d_bias.dims[1] > 1 ? h : 0);
    }
    a.queries = x.queries;
    a.keys = x.keys;
    a.total_keys = x.key_rows;
    a.head_dim = shape.head_dim;
    a.value_dim = shape.value_dim;
    a.groups = static_cast<int>(shape.groups / cut.parts);
    a.scratch = scratch + scratch_size * worker;
    Products(in, context.kernels).backward(a);
  };

  context.Parallel(cut.sequences * cut.heads * cut.parts, [&](int64_t task, int worker) {
    const int64_t part = task % cut.parts, g = task / cut.parts % cut.heads,
                  s = task / (cut.parts * cut.heads);
    const int64_t last_s = cut.join_sequences ? count : s + 1,
                  last_g = cut.join_heads ? shape.kv_heads : g + 1;
    if (d_bias) {
      const int64_t heads = cut.join_heads ? 1 : shape.groups / cut.parts;
      for (int64_t h = 0; h < heads; ++h)
        ZeroHead(d_bias, s, cut.join_heads ? 0 : g * shape.groups + part + h);
    }
    for (int64_t sequence = s; sequence < last_s; ++sequence) {
      for (int64_t head = g; head < last_g; ++head) run(sequence, head, part, worker);
    }
  });
  if (cut.parts == 1) return;
  const int64_t chunks = CeilDiv(shape.keys, kSumKeys);
  context.Parallel(shape.batch * shape.kv_heads * chunks, [&](int64_t task, int) {
    const int64_t first = task % chunks * kSumKeys, g = task / chunks % shape.kv_heads,
                  b = task / (chunks * shape.kv_heads);
    for (int64_t part = 1; part < cut.parts; ++part) {
      const float* const k_part = part_of(b, g, part);
      const float* const v_part = k_part + shape.keys * shape.head_dim;
      for (int64_t j = first; j < std::min(first + kSumKeys, shape.keys); ++j) {
        context.kernels.rows.accumulate(k_part + j * shape.head_dim, HeadData(d_k, b, g) + j * d_k.strides[2],
                                        shape.head_dim);
        context.kernels.rows.accumulate(v_part + j * shape.value_dim,
                                        HeadData(d_v, b, g) + j * d_v.strides[2], shape.value_dim);
      }
    }
  });
}

void Reference(const Instruction& in) {
  const AttentionExtras extras(in, kExtras);
  const SequenceList list("attentionGradient", extras, AttentionShape(in[kQ], in[kK], in[kV]));
  const ReferenceHeads q(in, in[kQ]), k(in, in[kK]), v(in, in[kV]), d_o(in, in[kGradO]);
  const auto problem = ReferenceProblem(in, q, k, v, extras);
  const auto d_bias = ViewHeadsIf<double>(in[kGradBias]);
  const auto view = [&](int i) { return ViewHeads<double>(in[i]); };
  for (const int i : {kGradQ, kGradK, kGradV}) reference::SetZero(view(i));
  if (d_bias.data) reference::SetZero(d_bias);
  ForSequences(in, extras, list, [&](const reference::AttentionSequence& s) {
    reference::AttentionGradient(problem, s, view(kO), ReferenceView<double>(in[kLse]), d_o.View(),
                                 view(kGradQ), view(kGradK), view(kGradV), d_bias);
  });
}

}  // namespace

const OpInfo kAttentionGradientOp = {
    "attentionGradient", kGradQ, kOperands - kGradQ, kGradientAttributes, Check, Workspace, Run, Reference};

}  // namespace heedful
