// CachedAttention: o = softmax(scale · q · kᵀ + mask) · v, k and v being the rows of a key-value cache.
//
// q [B, H, T, D], keys and values of Hkv heads (cache_format.h), keyLengths i32 [B] → o [B, H, T, Dv] {scale,
// causal, format}. H is a multiple of Hkv; query head h reads key-value head h / (H / Hkv). D, Dv ≤ 256.
// Layouts: q, o: last dimension contiguous, other strides arbitrary; so are caches of f32.
// Contract: sequence b has L = keyLengths[b] keys, checked when it runs; the cache is never read beyond.
// Query i sees keys j ≤ i + L − T when causal, else all L. A query without keys gives o = 0. o may not
// overlap inputs. Few queries stream the cache once for all heads that share it, cut into runs of keys whose
// size depends on shapes alone; more of them go through Attention, after a cache that is not f32 was made so.
// Accuracy: float, of the numbers that the cache holds. The result does not depend on the number of threads.
// Source: Flash-Decoding (Dao, Haziza, Massa & Sizov 2023); the kernel is in
// kernels/simd/cached_attention-inl.h.

#include <vector>

#include "ops/cache_format.h"
#include "ops/chunks.h"
#include "ops/op_list.h"
#include "runtime/dispatch.h"

namespace heedful {
namespace {

enum { kQ, kKeys, kValues, kLengths, kO };
enum { kScale, kCausal, kFormat };

// Rows (queries of the heads that share keys) up to which a pass over the cache pays.
constexpr int64_t kFewRows = 16;
// Bytes of keys and values of a run: some ten microseconds of reading, beside which a fork is nothing.
constexpr int64_t kRunBytes = 512 << 10;

int64_t RoundUpTo(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

struct Plan {
  CacheFormat format;
  int64_t batch, heads, kv_heads, groups, queries, head_dim, value_dim;
  CacheLayout keys, values;
  int64_t rows, run, runs;  // runs: of a full cache
  int64_t o_row;

  explicit Plan(const Instruction& in)
      : format(static_cast<CacheFormat>(static_cast<int>(in.attributes[kFormat]))),
        batch(in[kQ].dims[0]),
        heads(in[kQ].dims[1]),
        kv_heads(in[kKeys].dims[1]),
        groups(kv_heads ? heads / kv_heads : 0),
        queries(in[kQ].dims[2]),
        head_dim(in[kQ].dims[3]),
        value_dim(in[kO].dims[3]),
        keys(format, in[kKeys], head_dim),
        values(format, in[kValues], value_dim),
        rows(groups * queries) {
    const int64_t bytes = CacheRowBytes(format, head_dim) + CacheRowBytes(format, value_dim);
    run = std::max(kCachedRun, kRunBytes / bytes / kCachedRun * kCachedRun);
    runs = CeilDiv(keys.capacity, run);
    o_row = RoundUpTo(value_dim, kCacheGroup);
  }

  bool Few() const { return rows <= kFewRows; }
  int64_t Parts() const { return batch * kv_heads * runs; }
  // Floats: of the lengths, and of both caches as f32.
  int64_t LengthFloats() const { return RoundUpTo(batch, 16); }
  int64_t KeyFloats() const { return RoundUpTo(batch * kv_heads * keys.capacity * head_dim, 16); }
  int64_t ValueFloats() const { return RoundUpTo(batch * kv_heads * keys.capacity * value_dim, 16); }
  int64_t SumFloats() const { return RoundUpTo(Parts() * rows, 16); }
  int64_t Scratch(const KernelTable& kernels) const {
    return RoundUpTo(kernels.cached_attention.scratch(rows, static_cast<int>(head_dim)), 16);
  }
};

void Check(const Instruction& in) {
  const Operand &q = in[kQ], &keys = in[kKeys], &values = in[kValues], &lengths = in[kLengths], &o = in[kO];
  CheckHeads("cachedAttention: q", q, q.dtype);
  CheckHeadsOutput("cachedAttention: o", o, q.dtype);
  HEEDFUL_CHECK(keys && keys.rank == 4, "cachedAttention: keys must have 4 dimensions");
  const int64_t batch = q.dims[0], kv_heads = keys.dims[1];
  CheckHeadDims("cachedAttention: o", o, batch, q.dims[1], q.dims[2], o.dims[3]);
  CheckCache("cachedAttention: keys", keys, in.attributes[kFormat], q.dtype, batch, kv_heads, q.dims[3]);
  CheckCache("cachedAttention: values", values, in.attributes[kFormat], q.dtype, batch, kv_heads, o.dims[3]);
  HEEDFUL_CHECK(keys.dims[2] == values.dims[2],
                "cachedAttention: keys and values must be caches of one capacity");
  HEEDFUL_CHECK(kv_heads > 0 && q.dims[1] % kv_heads == 0,
                "cachedAttention: the heads of q must be a multiple of those of the keys");
  HEEDFUL_CHECK(lengths && lengths.dtype == DType::kI32 && lengths.rank == 1 && lengths.dims[0] == batch,
                "cachedAttention: keyLengths must be i32 [" + std::to_string(batch) + "]");
}

template <class T>
Operand HeadsOf(T* data, int64_t batch, int64_t heads, int64_t length, int64_t dim) {
  Operand x;
  x.data = data;
  x.dtype = sizeof(T) == sizeof(double) ? DType::kF64 : DType::kF32;
  x.present = true;
  x.rank = 4;
  const int64_t dims[] = {batch, heads, length, dim};
  const int64_t strides[] = {heads * length * dim, length * dim, dim, 1};
  std::copy_n(dims, 4, x.dims);
  std::copy_n(strides, 4, x.strides);
  return x;
}

// Attention of the same queries to these keys and values.
Instruction AsAttention(const Instruction& in, const Operand& keys, const Operand& values,
                        const Operand& lengths) {
  Instruction attention;
  attention.op = &kAttentionOp;
  const double attributes[] = {in.attributes[kScale], in.attributes[kCausal], -1, -1,
                               0};  // no window, no soft cap
  std::copy_n(attributes, 5, attention.attributes);
  attention.operands.resize(kAttentionOp.inputs + kAttentionOp.outputs);
  attention.operands[0] = in[kQ];
  attention.operands[1] = keys;
  attention.operands[2] = values;
  attention.operands[3] = lengths;
  attention.operands[kAttentionOp.inputs] = in[kO];
  return attention;
}

// The cache if it is f32, or a copy of it in `copies` that is.
Instruction AsAttention(const Instruction& in, const Plan& plan, const Operand& lengths, float* copies) {
  if (plan.format == CacheFormat::f32) return AsAttention(in, in[kKeys], in[kValues], lengths);
  const int64_t capacity = plan.keys.capacity;
  return AsAttention(in, HeadsOf(copies, plan.batch, plan.kv_heads, capacity, plan.head_dim),
                     HeadsOf(copies + plan.KeyFloats(), plan.batch, plan.kv_heads, capacity, plan.value_dim),
                     lengths);
}

size_t Workspace(const Instruction& in, int threads) {
  const Plan plan(in);
  int64_t floats = plan.LengthFloats();
  if (!plan.Few()) {
    if (plan.format != CacheFormat::f32) floats += plan.KeyFloats() + plan.ValueFloats();
    return sizeof(float) * floats +
           kAttentionOp.workspace(AsAttention(in, plan, in[kLengths], nullptr), threads);
  }
  floats += plan.Parts() * plan.rows * plan.o_row + 2 * plan.SumFloats();
  int64_t scratch = 0;
  for (const KernelTable* kernels : AvailableKernels()) scratch = std::max(scratch, plan.Scratch(*kernels));
  return sizeof(float) * (floats + scratch * threads);
}

// Read once: JavaScript may hold the same memory.
void CopyLengths(const Operand& lengths, int64_t capacity, int32_t* copy) {
  for (int64_t b = 0; b < lengths.dims[0]; ++b) {
    copy[b] = lengths.As<int32_t>()[b * lengths.strides[0]];
    HEEDFUL_CHECK(copy[b] >= 0 && copy[b] <= capacity, "cachedAttention: keyLengths[" + std::to_string(b) +
                                                           "] is " + std::to_string(copy[b]) +
                                                           ", expected 0 to " + std::to_string(capacity));
  }
}

void RunMany(const Instruction& in, Context& context, const Plan& plan, const int32_t* lengths,
             float* memory) {
  Operand counted = in[kLengths];
  counted.data = const_cast<int32_t*>(lengths);
  counted.strides[0] = 1;
  const Instruction attention = AsAttention(in, plan, counted, memory);
  if (plan.format != CacheFormat::f32) {
    const int64_t per_head = CeilDiv(plan.keys.capacity, kCachedRun);
    float* const keys = memory;
    float* const values = memory + plan.KeyFloats();
    context.Parallel(plan.batch * plan.kv_heads * per_head, [&](int64_t task, int) {
      const int64_t pair = task / per_head, b = pair / plan.kv_heads, g = pair % plan.kv_heads;
      const int64_t begin = task % per_head * kCachedRun;
      for (int64_t j = begin; j < std::min<int64_t>(lengths[b], begin + kCachedRun); ++j) {
        const int64_t row = pair * plan.keys.capacity + j;
        LoadCacheRow(plan.keys, plan.keys.Head(b, g), j, keys + row * plan.head_dim, plan.head_dim);
        LoadCacheRow(plan.values, plan.values.Head(b, g), j, values + row * plan.value_dim, plan.value_dim);
      }
    });
    memory += plan.KeyFloats() + plan.ValueFloats();
  }
  Context rest{context.kernels, context.pool, reinterpret_cast<std::byte*>(memory), context.aborted};
  kAttentionOp.run(attention, rest);
}

void RunFew(const Instruction& in, Context& context, const Plan& plan, const int32_t* lengths,
            float* memory) {
  const Operand &q = in[kQ], &o = in[kO];
  const CachedAttentionKernels& kernels = context.kernels.cached_attention;
  const bool causal = in.attributes[kCausal] != 0;
  const int64_t scratch_size = plan.Scratch(context.kernels), part_size = plan.rows * plan.o_row;
  float* const parts = memory;
  float* const row_max = parts + plan.Parts() * part_size;
  float* const row_sum = row_max + plan.SumFloats();
  float* const scratch = row_sum + plan.SumFloats();
  const int64_t longest = *std::max_element(lengths, lengths + plan.batch), runs = CeilDiv(longest, plan.run);

  context.Parallel(plan.batch * plan.kv_heads * runs, [&](int64_t task, int worker) {
    const int64_t c = task % runs, pair = task / runs, b = pair / plan.kv_heads, g = pair % plan.kv_heads;
    const int64_t part = pair * plan.runs + c, length = lengths[b];
    if (c * plan.run >= length) return;
    CachedAttention a;
    a.q = HeadData(q, b, g * plan.groups);
    a.q_head = q.strides[1];
    a.q_row = q.strides[2];
    a.k = reinterpret_cast<const char*>(plan.keys.Head(b, g));
    a.v = reinterpret_cast<const char*>(plan.values.Head(b, g));
    a.k_row = plan.keys.row;
    a.k_group = plan.keys.group;
    a.v_row = plan.values.row;
    a.v_group = plan.values.group;
    a.begin = c * plan.run;
    a.end = std::min(length, a.begin + plan.run);
    a.rows = plan.rows;
    a.queries = plan.queries;
    a.last_seen = causal ? length - plan.queries + 1 : length;
    a.seen_step = causal ? 1 : 0;
    a.head_dim = static_cast<int>(plan.head_dim);
    a.value_dim = static_cast<int>(plan.value_dim);
    a.scale = static_cast<float>(in.attributes[kScale]);
    a.o = parts + part * part_size;
    a.o_row = plan.o_row;
    a.row_max = row_max + part * plan.rows;
    a.row_sum = row_sum + part * plan.rows;
    a.scratch = scratch + scratch_size * worker;
    kernels.run[static_cast<int>(plan.format)](a);
  });
  const int64_t pairs = plan.batch * plan.kv_heads;
  ForTasks(context, pairs, pairs * runs * part_size, [&](int64_t pair) {
    const int64_t b = pair / plan.kv_heads, g = pair % plan.kv_heads, part = pair * plan.runs;
    for (int64_t r = 0; r < plan.rows; ++r) {
      kernels.merge(parts + part * part_size + r * plan.o_row, part_size, row_max + part * plan.rows + r,
                    row_sum + part * plan.rows + r, plan.rows, CeilDiv(lengths[b], plan.run),
                    static_cast<int>(plan.value_dim),
                    HeadData(o, b, g * plan.groups + r / plan.queries) + r % plan.queries * o.strides[2]);
    }
  });
}

void Run(const Instruction& in, Context& context) {
  const Plan plan(in);
  auto* const lengths = reinterpret_cast<int32_t*>(context.workspace);
  CopyLengths(in[kLengths], plan.keys.capacity, lengths);
  if (in[kO].Size() == 0) return;
  float* const memory = reinterpret_cast<float*>(context.workspace) + plan.LengthFloats();
  if (plan.Few())
    RunFew(in, context, plan, lengths, memory);
  else
    RunMany(in, context, plan, lengths, memory);
}

void Reference(const Instruction& in) {
  const Plan plan(in);
  std::vector<int32_t> lengths(plan.batch);
  CopyLengths(in[kLengths], plan.keys.capacity, lengths.data());
  // Rows in f64, [b, g, j, :].
  const auto unpacked = [&](const CacheLayout& layout, int64_t dim) {
    std::vector<double> rows(plan.batch * plan.kv_heads * layout.capacity * dim);
    for (int64_t pair = 0; pair < plan.batch * plan.kv_heads; ++pair) {
      const int64_t b = pair / plan.kv_heads;
      for (int64_t j = 0; j < lengths[b]; ++j) {
        LoadCacheRow(layout, layout.Head(b, pair % plan.kv_heads), j,
                     rows.data() + (pair * layout.capacity + j) * dim, dim);
      }
    }
    return rows;
  };
  std::vector<double> keys = unpacked(plan.keys, plan.head_dim),
                      values = unpacked(plan.values, plan.value_dim);
  Operand counted = in[kLengths];
  counted.data = lengths.data();
  counted.strides[0] = 1;
  const int64_t capacity = plan.keys.capacity;
  kAttentionOp.reference(
      AsAttention(in, HeadsOf(keys.data(), plan.batch, plan.kv_heads, capacity, plan.head_dim),
                  HeadsOf(values.data(), plan.batch, plan.kv_heads, capacity, plan.value_dim), counted));
}

}  // namespace

const OpInfo kCachedAttentionOp = {
    .name = "cachedAttention",
    .inputs = 4,
    .outputs = 1,
    .attributes = 3,
    .check = Check,
    .workspace = Workspace,
    .run = Run,
    .reference = Reference,
    // The caches are; the lengths are copied here.
    .integers_are_data = true,
};

}  // namespace heedful
