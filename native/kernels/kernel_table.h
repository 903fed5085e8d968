// THE contract between drivers (native/ops) and kernels (native/kernels/simd, compiled once per instruction
// set).
//
// Plain C types only: this header is read by objects compiled for different CPUs. Every function is noexcept
// in effect, allocates nothing, runs on one thread and touches only what its contract names. Pointers need no
// alignment beyond that of float unless said. All sizes and strides count elements.
#pragma once

#include <stdint.h>

// The columns of this page are set by hand.
// clang-format off

namespace heedful {

// ---- activations and elementwise functions ------------------------------------------------------------------
// The order here is the numbering of the native list that lib/ops looks names up in.

#define HEEDFUL_UNARY_FUNCTIONS(X)                                                                  \
  X(identity) X(negate) X(absolute) X(square) X(squareRoot) X(reciprocalSquareRoot) X(reciprocal)   \
  X(exp) X(log) X(sine) X(cosine) X(sign) X(relu) X(gelu) X(geluTanh) X(silu) X(sigmoid) X(tanh)

// Comparisons give 1 or 0.
#define HEEDFUL_BINARY_FUNCTIONS(X)                                                                 \
  X(add) X(subtract) X(multiply) X(divide) X(minimum) X(maximum) X(power) X(greater) X(greaterEqual) X(equal)

#define HEEDFUL_REDUCE_FUNCTIONS(X) X(sum) X(mean) X(maximum) X(minimum)

// What a right operand of the matrix product may be packed into (see PanelKernels).
#define HEEDFUL_PANEL_FORMATS(X) X(f32) X(bf16) X(f16) X(int8) X(q8_0) X(q4_0)

// What the rows of a key-value cache may be stored as (see CachedAttention).
#define HEEDFUL_CACHE_FORMATS(X) X(f32) X(bf16) X(int8)

#define HEEDFUL_ENUM(name) name,
enum class Unary : int { HEEDFUL_UNARY_FUNCTIONS(HEEDFUL_ENUM) kCount };
enum class Binary : int { HEEDFUL_BINARY_FUNCTIONS(HEEDFUL_ENUM) kCount };
enum class Reduce : int { HEEDFUL_REDUCE_FUNCTIONS(HEEDFUL_ENUM) kCount };
enum class PanelFormat : int { HEEDFUL_PANEL_FORMATS(HEEDFUL_ENUM) kCount };
enum class CacheFormat : int { HEEDFUL_CACHE_FORMATS(HEEDFUL_ENUM) kCount };
#undef HEEDFUL_ENUM
constexpr int kUnaryCount = static_cast<int>(Unary::kCount);
constexpr int kBinaryCount = static_cast<int>(Binary::kCount);
constexpr int kPanelFormatCount = static_cast<int>(PanelFormat::kCount);
constexpr int kCacheFormatCount = static_cast<int>(CacheFormat::kCount);

struct ElementwiseKernels {
  // y[i] = f(x[i]), i < n. y may be x.
  void (*unary[kUnaryCount])(const float* x, float* y, int64_t n);
  // dx[i] = dy[i] · f'(x[i]). dx may be dy or x.
  void (*unary_gradient[kUnaryCount])(const float* x, const float* dy, float* dx, int64_t n);
  // y[i] = f(a[i · a_step], b[i · b_step]), steps 0 or 1. y may be a or b where that one's step is 1.
  void (*binary[kBinaryCount])(const float* a, int64_t a_step, const float* b, int64_t b_step, float* y, int64_t n);
  // y[i] = f(gate[i]) · up[i]
  void (*gated)(Unary f, const float* gate, const float* up, float* y, int64_t n);
  // d_gate[i] = dy[i] · up[i] · f'(gate[i]);  d_up[i] = dy[i] · f(gate[i])
  void (*gated_gradient)(Unary f, const float* gate, const float* up, const float* dy, float* d_gate, float* d_up,
                         int64_t n);
  // y[i] = keep(i) ? x[i] · scale : 0, keep(i) ⇔ Random32(seed, stream, first + i) ≥ threshold (see random-inl.h).
  void (*dropout)(const float* x, float* y, int64_t n, uint32_t seed, uint32_t stream, uint64_t first,
                  uint32_t threshold, float scale);
  // bfloat16, to nearest even (denormals too; NaN stays one), and back.
  void (*to_bf16)(const float* x, uint16_t* y, int64_t n);
  void (*from_bf16)(const uint16_t* x, float* y, int64_t n);
};

// ---- matrix product ---------------------------------------------------------------------------------------------

// Memory that is wanted soon, told to the caches line by line, one step for each k of a tile:
// `runs` of consecutive bytes. All zero: nothing is.
struct GemmPrefetch {
  const char* at = nullptr;
  int64_t step = 0;           // bytes
  int64_t left = 0, run = 0;  // steps until this run ends, steps of a run
  int64_t jump = 0;           // bytes from the end of a run to the next
  int64_t total = 0;          // steps until nothing more is wanted
};

// One tile of C = A·B, up to mr × nr:  C[i, j] (+)= Σ_k A[i, k] · B[k, j]
struct GemmTile {
  const float* a;         // A[i, k] at a[i·a_row + k·a_k]; a_k == 1 (rows) or a_row == 1 (transposed)
  int64_t a_row, a_k;
  const float* b;         // B[k, j] at b[k·b_row + j], j < columns rounded up to the vector width is readable
  int64_t b_row;
  float* c;               // C[i, j] at c[i·c_row + j]; never touched beyond `columns`
  int64_t c_row;
  int64_t k;
  int rows, columns;      // 1 ≤ rows ≤ mr, 1 ≤ columns ≤ nr
  bool accumulate;        // add to C instead of overwriting it
  int column = 0;         // of a panel: the first of these columns; b is where the row of 32 begins
  GemmPrefetch* next = nullptr;  // moved on by k steps; nullptr: everything, C too, is near already
};

// What happens to a finished tile: x = C + bias, then
//   none      y = f(x)
//   gradient  y = x · f'(aux), of an activation
//   product   y = x · aux; f is the identity
// With none, x is stored to pre_activation when given. Row i at pointer + i·row.
enum class GemmCombine : int { none, gradient, product };
struct GemmEpilogue {
  Unary function = Unary::identity;
  GemmCombine combine = GemmCombine::none;
  const float* bias = nullptr;       // [columns] or nullptr
  const float* aux = nullptr;        // given with all but none
  int64_t aux_row = 0;
  float* pre_activation = nullptr;
  int64_t pre_activation_row = 0;
};

// A right operand B (k, n) that was packed once, for every instruction set alike: panels of 32 columns one after
// another, whole rows of 32 words of 32 bits each. A panel is a sequence of steps along k, 0 (the number) outside of B:
//   f32    B[k, 0 … 31]
//   bf16   32 words, B[2w, j] in the lower and B[2w + 1, j] in the upper half of the word of column j
//   f16    B[k, 0 … 31], 16 words
//   int8   32 words of four bytes, q[4w … 4w + 3, j] + 128, the first lowest. After the last step 32 floats:
//          B[k, j] = scale[j] · q[k, j], |q| ≤ 127
//   q8_0   a block of 32 k: 32 scales in f16, then 8 times 32 words as in int8, |q| ≤ 128;  B = scale[block, j] · q
//   q4_0   a block of 32 k: 32 scales in f16, then 4 times 32 words of four bytes; byte b of word w of a column holds
//          q[4w + b] + 8 in its lower half, q[16 + 4w + b] + 8 in its upper half
// Scale and numbers of a block of q8_0 or q4_0 in one column are those of a block of GGUF.
constexpr int kPanelColumns = 32;

struct PanelLayout {
  int elements;  // of k in a step
  int words;     // of a step
  int tail;      // words after the last step. Some: the whole of k is one block
  int lines;     // prefetches that a tile makes in each step
};
constexpr PanelLayout kPanelLayouts[kPanelFormatCount] = {{1, 32, 0, 1}, {2, 32, 0, 1},  {1, 16, 0, 1},
                                                          {4, 32, 32, 1}, {32, 272, 0, 8}, {32, 144, 0, 4}};

struct PanelKernels {
  int mr;          // rows of a tile, at most
  int row_floats;  // floats that a row of A has for each step of B
  int panel_rows;  // up to so many rows, a tile may have all columns of a panel
  // As GemmKernels::tile: k counts steps, b_row is the words of one, a_k is 1, row i of A begins at a + i·a_row.
  void (*tile)(const GemmTile&);
  // n elements of A to what tile reads, whole steps, and up to kRowTail floats more. nullptr: it reads f32.
  void (*convert)(const float* x, int64_t n, float* row);
};
constexpr int kRowTail = 16;

// Products of operands that are rounded to bfloat16, to nearest even, while they are packed; sums in f32. A step of k
// is a word of 32 bits: two bfloat16, the first in the lower half, where the CPU multiplies such pairs (denormals are
// 0 then), else one rounded f32. k counts elements; what the last word lacks is zero.
struct Bf16Products {
  int elements;      // of k in a step
  // As GemmKernels::tile, of words.
  void (*tile)(const GemmTile&);
  // n elements along k to words.
  void (*convert)(const float* x, int64_t n, float* row);
  // words[s·out_row + j] = those of step s of x[k·ld + j], j < columns; zero for columns ≤ j < out_row.
  void (*pack_rows)(const float* x, int64_t ld, int64_t k, int64_t columns, float* words, int64_t out_row);
  // A panel of `nr` columns from x[j·ld + k].
  void (*pack_columns)(const float* x, int64_t ld, int64_t k, int columns, float* panel);
};

struct GemmKernels {
  int mr, nr;        // tile
  int kc;            // depth of a block: mr·kc of A and nr·kc of B fit the caches they should
  int in_place_rows; // up to this m, reading a row-major B where it lies is faster than packing it
  int gemv_rows;     // up to this m, gemv is faster than tiles for a transposed B
  int gemv_row_major_rows;  // and gemv_row_major for a row-major one
  void (*tile)(const GemmTile&);
  PanelKernels panels[kPanelFormatCount];
  Bf16Products bf16;
  void (*epilogue)(const GemmEpilogue&, float* c, int64_t c_row, int rows, int columns);
  // Panel of `nr` columns: panel[k·nr + j] = B[k, j], zero for columns ≤ j < nr.
  //   pack_rows:    B[k, j] at b[k·ld + j]      (row-major)
  //   pack_columns: B[k, j] at b[j·ld + k]      (transposed)
  void (*pack_rows)(const float* b, int64_t ld, int64_t k, int columns, float* panel);
  void (*pack_columns)(const float* b, int64_t ld, int64_t k, int columns, float* panel);
  // y[i·y_row + j] = Σ_k w[j·ld + k] · x[i·x_row + k], i < m, j < n, for a few rows of x: bound by reading w.
  void (*gemv)(const float* w, int64_t ld, const float* x, int64_t x_row, float* y, int64_t y_row, int64_t m, int64_t n,
               int64_t k);
  // The same of w[k·ld + j]. As fast as w can be read where y, read and written for every few k, stays in the
  // first-level cache.
  void (*gemv_row_major)(const float* w, int64_t ld, const float* x, int64_t x_row, float* y, int64_t y_row, int64_t m,
                         int64_t n, int64_t k);
  // dst[j·dst_ld + i] = src[i·src_ld + j], i < rows, j < columns.
  void (*transpose)(const float* src, int64_t src_ld, float* dst, int64_t dst_ld, int64_t rows, int64_t columns);
};

// ---- attention --------------------------------------------------------------------------------------------------

// What the softmax is taken of, for the rows of one head. Row i stands at p = position + i·position_step among the keys
// and sees those with p − left ≤ j ≤ p + right, 0 ≤ j < keys:
//   s = scale · q·kᵀ;  softcap: s = softcap · tanh(s / softcap);  s += bias[i, j] − slope[i] · |p − j|
struct AttentionScores {
  int64_t position, position_step;  // step 1, or 0: all rows are one token
  int64_t left, right;              // ≥ 0; kUnlimited: no limit
  float scale;
  float softcap;                    // 0: none
  const float* bias;                // bias[i·bias_row + j] or nullptr; −∞ hides a key
  int64_t bias_row;
  const float* slopes;              // slopes[i·slope_row] or nullptr
  int64_t slope_row;
};
constexpr int64_t kUnlimited = int64_t{1} << 40;

// Angles that rows are turned by (rotary embedding): of row r the cosines of `pairs` pairs at data + r·row, then the
// sines. Pair i is (i, i + pairs), or (2i, 2i + 1) when interleaved; elements beyond the pairs stay.
struct RowAngles {
  const float* data;  // nullptr: rows are not turned
  int64_t row;        // 0: all rows are of one token
  int pairs;          // at most half of a head
  bool interleaved;
};

// One head of one sequence, forward, for a block of queries. Row t of a matrix at pointer + t·row.
//   o = softmax(s) · v,  lse = ln Σ exp(s),  p = softmax(s)
struct AttentionForward {
  AttentionScores scores;
  const float *q, *k, *v;
  int64_t q_row, k_row, v_row;
  RowAngles q_angles;      // of the first query; keys are turned where they are packed
  float* o;
  float* lse;              // lse[i·lse_row] or nullptr
  int64_t o_row, lse_row;
  float* p;                // nullptr, or where the probability of key 0 goes: p[i·p_row + j] is written for
  int64_t p_row;           // −p_before ≤ j < keys + p_after, zero where the query does not see
  int64_t p_before, p_after;
  int64_t queries, keys;   // keys: those that may be seen at all (key length)
  int head_dim, value_dim; // each 0 … 256
  const float* packed;     // from pack; nullptr: packed inside, into scratch
  float* scratch;          // forward_scratch(keys, head_dim, value_dim) floats, 64-byte aligned
};

// One key-value head of one sequence, backward: recomputes probabilities from lse, block by block.
struct AttentionBackward {
  AttentionScores scores;                   // of the first query head
  int64_t bias_head, slope_head;            // strides between query heads
  const float *q, *k, *v, *o, *d_o, *lse;   // of `groups` query heads that share the key-value head
  int64_t q_row, k_row, v_row, o_row, d_o_row, lse_row;
  int64_t q_head, o_head, d_o_head, lse_head, d_q_head;  // strides between those query heads
  float *d_q, *d_k, *d_v;                   // overwritten
  float* d_bias;                            // added to, or nullptr
  int64_t d_q_row, d_k_row, d_v_row, d_bias_row, d_bias_head;
  int64_t queries, keys, total_keys;        // d_k and d_v rows in [keys, total_keys) become zero
  int head_dim, value_dim, groups;
  float* scratch;                           // backward_scratch(queries, keys, head_dim, value_dim) floats
};

// y = x turned by angles, row by row. y may be x.
struct RotaryRows {
  const float* x;
  int64_t x_row;
  float* y;
  int64_t y_row;
  int64_t rows;
  RowAngles angles;
  int head_dim;
  bool inverse;  // by the negative angles
};

// Keys and values that several blocks of queries read in common.
struct AttentionKeys {
  const float *k, *v;
  int64_t k_row, v_row;
  int64_t keys;
  int head_dim, value_dim;
  RowAngles angles;  // of the first key
  float* scratch;    // as in AttentionForward; for keys that are turned
};

// In one precision of products: operands as they are, or rounded as by Bf16Products; all else, o and lse too, is f32.
struct AttentionProducts {
  // Floats s that several blocks of queries read in common: s(a) ≤ s(a + b), s(a) + s(b) ≤ s(a + b) + s(1).
  int64_t (*packed_size)(int64_t keys, int head_dim, int value_dim);
  void (*pack)(const AttentionKeys&, float* packed);
  int64_t (*forward_scratch)(int64_t keys, int head_dim, int value_dim);
  void (*forward)(const AttentionForward&);
  int64_t (*backward_scratch)(int64_t queries, int64_t keys, int head_dim, int value_dim);
  void (*backward)(const AttentionBackward&);
};

struct AttentionKernels {
  AttentionProducts f32, bf16;
  // angles[i] = scale · cos(position · frequencies[i]), angles[n + i] the sine, i < n: in double, rounded.
  void (*rotary_angles)(double position, const float* frequencies, int64_t n, double scale, float* angles);
  void (*rotate)(const RotaryRows&);
};

// A cache holds the keys (or values) of one head of one sequence as rows, token after token, in groups of 16 tokens:
//   f32   the numbers
//   bf16  bfloat16, a row filled up with zeros to a multiple of 16 elements
//   int8  the same of bytes x; behind each group, 16 f32 scales: element (j, d) is x[j, d] · scale[j]
constexpr int64_t kCacheGroup = 16;
constexpr int64_t kCachedRun = 128;  // runs of keys begin at multiples of this

// A few queries of the heads that share one key-value head, against keys [begin, end) of its cache. Row r of `rows` is
// query r % queries of head r / queries.
struct CachedAttention {
  AttentionScores scores;              // of query 0 of head 0
  int64_t bias_head, slope_head;       // strides between heads
  const float* q;
  int64_t q_head, q_row;               // floats between heads, and between queries of one
  RowAngles q_angles;                  // of the queries; keys lie turned in the cache
  const char *k, *v;                   // token 0
  int64_t k_row, k_group;              // bytes between tokens of a group, and between groups
  int64_t v_row, v_group;
  int64_t begin, end;                  // begin: a multiple of kCachedRun
  int64_t rows, queries;
  int head_dim, value_dim;             // each 1 … 256
  float* o;                            // [rows][o_row], overwritten: not yet divided by the sums
  int64_t o_row;                       // value_dim rounded up to a multiple of 16
  float *row_max, *row_sum;            // [rows], overwritten
  float* scratch;                      // scratch(rows, head_dim) floats, 64-byte aligned
};

struct CachedAttentionKernels {
  int64_t (*scratch)(int64_t rows, int head_dim);
  void (*run[kCacheFormatCount])(const CachedAttention&);
  // One row of o from `count` runs, part c at parts + c·part_step, its maximum and sum at c·row_step.
  void (*merge)(const float* parts, int64_t part_step, const float* row_max, const float* row_sum, int64_t row_step,
                int64_t count, int value_dim, float* o);
};

// ---- rows: softmax, norms, loss, reductions ------------------------------------------------------------------------

// One row of a norm. sum, y may be x or residual, but differ from each other.
struct NormRow {
  const float *x, *residual;
  float *sum, *y;
  float *mean, *rstd;
};

struct SoftmaxRow {
  const float* x;
  float* y;  // may be x
};

constexpr int kRowsTogether = 4;  // norms and softmax are fastest in multiples of so many rows

struct RowKernels {
  // y = softmax(x) or log softmax(x) over the n elements of each row.
  void (*softmax)(const SoftmaxRow* rows, int count, int64_t n, bool log);
  // softmax: dx = y ⊙ (dy − Σ dy ⊙ y);  log softmax: dx = dy − exp(y) · Σ dy. dx may be dy.
  void (*softmax_gradient)(const float* y, const float* dy, float* dx, int64_t n, bool log);
  // Of each row: s = x + residual (stored to sum when given; residual may be nullptr);
  // y = (s − mean) · rstd ⊙ weight + bias. center false: RMS norm, mean = 0. weight, bias may be nullptr.
  // Writes *mean (when given) and *rstd.
  void (*norm)(const NormRow* rows, int count, const float* weight, const float* bias, int64_t n, float epsilon,
               bool center);
  // dx = rstd · (g − [mean(g)] − x̂ · mean(g ⊙ x̂)) + gradient_residual, g = dy ⊙ weight, x̂ = (x − mean) · rstd;
  // d_weight += dy ⊙ x̂, d_bias += dy (each may be nullptr). [mean(g)] only when center.
  void (*norm_gradient)(const float* dy, const float* x, const float* weight, float mean, float rstd,
                        const float* gradient_residual, float* dx, float* d_weight, float* d_bias, int64_t n,
                        bool center);
  // Returns −Σ_c q_c · log softmax(x)_c with q = (1 − smoothing) · onehot(target) + smoothing / n; writes
  // *lse = ln Σ exp x.
  float (*cross_entropy)(const float* x, int64_t target, float smoothing, int64_t n, float* lse);
  // dx = scale · (exp(x − lse) − q). dx may be x.
  void (*cross_entropy_gradient)(const float* x, int64_t target, float smoothing, float lse, float scale, float* dx,
                                 int64_t n);
  float (*sum)(const float* x, int64_t n);       // pairwise over vector accumulators
  float (*maximum)(const float* x, int64_t n);   // NaN if any is
  float (*minimum)(const float* x, int64_t n);
  double (*sum_of_squares)(const float* x, int64_t n);
  void (*accumulate)(const float* x, float* y, int64_t n);   // y += x
};

// ---- sampling -----------------------------------------------------------------------------------------------------

// A token of one row of logits. Kept are: the top_k largest logits (of equals the first ones); of these, from the
// largest on, the fewest whose weights exp(logit / temperature) reach the share top_p of all; of these, those of at least
// min_p times the largest weight.
struct Sampling {
  const float* logits;
  int64_t n;          // 1 … 2²⁴
  float temperature;  // 0: the first of the largest
  int64_t top_k;      // n or more: all
  float top_p, min_p; // 0 … 1
  double uniform;     // [0, 1)
  float* scratch;     // scratch(n) floats, 64-byte aligned
};

struct SamplingKernels {
  int64_t (*scratch)(int64_t n);
  // The token, or −1 where a logit is NaN or the largest is infinite.
  int64_t (*run)(const Sampling&);
};

// ---- optimizer --------------------------------------------------------------------------------------------------

// AdamW (Loshchilov & Hutter 2019, algorithm 2), one pass: g = gradient · gradient_scale;
//   m = β1·m + (1−β1)·g;  v = β2·v + (1−β2)·g²;
//   p = p·(1 − lr·decay) − step_size · m / (√v · inverse_sqrt_correction2 + ε),  step_size = lr / (1 − β1^t)
struct AdamW {
  float beta1, beta2, rest1 /* 1 − β1 */, rest2 /* 1 − β2 */;
  float epsilon, gradient_scale, decay_factor /* 1 − lr·decay */, step_size, inverse_sqrt_correction2;
};

struct OptimizerKernels {
  void (*adamw)(const AdamW&, const float* gradient, float* parameter, float* m, float* v, int64_t n);
};

// ---- measurement ------------------------------------------------------------------------------------------------

// Formats that products are computed in: the names of peaks of computing.
#define HEEDFUL_COMPUTE_FORMATS(X) X(f32) X(bf16) X(int8)

// Multiply-adds of one format, as few bits as its numbers have, that never leave the registers.
struct ComputePeak {
  float (*run)(int64_t rounds) = nullptr;  // nullptr: the instruction set has none. The result only keeps it alive
  int64_t operations = 0;                  // of a round; a multiply-add is two
};

constexpr int64_t kMemoryPeakBlock = 256;  // floats: what these take a multiple of

struct PeakKernels {
#define HEEDFUL_COMPUTE_PEAK(name) ComputePeak name;
  HEEDFUL_COMPUTE_FORMATS(HEEDFUL_COMPUTE_PEAK)
#undef HEEDFUL_COMPUTE_PEAK
  // Reads n floats from the first to the last, `repeats` times; gives their sum.
  float (*read)(const float* x, int64_t n, int64_t repeats);
  // y = x, n floats, `repeats` times.
  void (*copy)(const float* x, float* y, int64_t n, int64_t repeats);
  // y = −y, n floats, `repeats` times.
  void (*update)(float* y, int64_t n, int64_t repeats);
};

// What CPUs that know more instructions have in place of parts of another table; the rest of it is null.
struct KernelExtension {
  const char* name;
  PanelKernels panels[kPanelFormatCount] = {};
  Bf16Products products = {};
  AttentionProducts attention = {};  // bf16
#define HEEDFUL_COMPUTE_PEAK(name) ComputePeak name = {};
  HEEDFUL_COMPUTE_FORMATS(HEEDFUL_COMPUTE_PEAK)
#undef HEEDFUL_COMPUTE_PEAK
};

struct KernelTable {
  const char* name;
  int vector_width;  // floats
  ElementwiseKernels elementwise;
  GemmKernels gemm;
  AttentionKernels attention;
  CachedAttentionKernels cached_attention;
  RowKernels rows;
  SamplingKernels sampling;
  OptimizerKernels optimizer;
  PeakKernels peak;
};

}  // namespace heedful
// clang-format on
