// mixtureOfExperts: each row goes through the `top` experts that have the largest probabilities for it
// (Shazeer et al. 2017; Jiang et al. 2024), and its results are added by weight:
//   y[t] = Σ_{e ∈ top(t)} w[t, e] · down[e] · (f(gate[e] · x[t]) ⊙ (up[e] · x[t]))
// w[t, e] = p[t, e], with normalize divided by Σ_{e ∈ top(t)} p[t, e]. Of equal probabilities the first
// counts.
//
// mixtureOfExpertsGradient: dX, dProbabilities, dGateUp, dDown; which experts are chosen has no gradient.
//
// x, y, dX [T, H]; probabilities [T, E]; gateUp [E, 2I, H], gate first; down [E, H, I]; f32 or f64. Layouts:
// everything contiguous, but rows of x, dY may lie apart. No output overlaps anything. Accuracy: ops/gemm.h;
// the experts of a row are added in their order.
//
// Rows are gathered by expert, so that each expert is one product of as many rows as it has: nothing is
// padded, and an expert without rows is not read. Experts come one after another, each on all threads.
#include "kernels/reference/mixture_of_experts.h"

#include "ops/chunks.h"
#include "ops/gemm.h"
#include "ops/op_list.h"
#include "ops/operands.h"

namespace heedful {
namespace {

enum { kX, kProbabilities, kGateUp, kDown };
enum { kY = 4 };
enum { kDY = 4, kDX, kDProbabilities, kDGateUp, kDDown };

struct Settings {
  explicit Settings(const Instruction& in)
      : top(static_cast<int64_t>(in.attributes[0])),
        normalize(in.attributes[1] != 0),
        function(static_cast<Unary>(static_cast<int>(in.attributes[2]))) {}
  int64_t top;
  bool normalize;
  Unary function;
};

struct Sizes {
  explicit Sizes(const Instruction& in)
      : rows(in[kX].dims[0]), hidden(in[kX].dims[1]), experts(in[kDown].dims[0]), inner(in[kDown].dims[2]) {}
  int64_t rows, hidden, experts, inner;
};

void CheckInputs(const OperandCheck& check, const Instruction& in) {
  const Operand &x = in[kX], &p = in[kProbabilities], &gate_up = in[kGateUp], &down = in[kDown];
  for (const auto& [name, operand] :
       {std::pair{"x", &x}, {"probabilities", &p}, {"gateUp", &gate_up}, {"down", &down}})
    check.Float(name, *operand);
  check.Require(x.rank == 2 && p.rank == 2 && gate_up.rank == 3 && down.rank == 3 && p.dims[0] == x.dims[0] &&
                    p.dims[1] == down.dims[0] && gate_up.dims[0] == down.dims[0] &&
                    gate_up.dims[1] == 2 * down.dims[2] && gate_up.dims[2] == x.dims[1] &&
                    down.dims[1] == x.dims[1],
                "x " + ShapeText(x) + ", probabilities " + ShapeText(p) + ", gateUp " + ShapeText(gate_up) +
                    " and down " + ShapeText(down) + " don't fit");
  check.Rows("x", x);
  check.Contiguous("probabilities", p);
  check.Contiguous("gateUp", gate_up);
  check.Contiguous("down", down);
  check.Choice("function", in.attributes[2], kUnaryCount);
  const double top = in.attributes[0];
  check.Require(top >= 1 && top <= static_cast<double>(down.dims[0]) && top == static_cast<int64_t>(top),
                "top must be a whole number from 1 to the number of experts");
}

void Check(const Instruction& in) {
  const OperandCheck check("mixtureOfExperts", in[kY].dtype);
  CheckInputs(check, in);
  check.Float("y", in[kY]);
  check.Shape("y", in[kY], in[kX]);
  check.Contiguous("y", in[kY]);
}

void CheckGradient(const Instruction& in) {
  const OperandCheck check("mixtureOfExpertsGradient", in[kDX].dtype);
  CheckInputs(check, in);
  check.Float("dY", in[kDY]);
  check.Shape("dY", in[kDY], in[kX]);
  check.Rows("dY", in[kDY]);
  const std::pair<const char*, int> outputs[] = {
      {"dX", kX}, {"dProbabilities", kProbabilities}, {"dGateUp", kGateUp}, {"dDown", kDown}};
  for (const auto& [name, input] : outputs) {
    const Operand& output = in[kDX + input];
    check.Float(name, output);
    check.Shape(name, output, in[input]);
    check.Contiguous(name, output);
  }
}

int64_t Align(int64_t floats) { return (floats + 15) / 16 * 16; }

// What lies in the workspace, in floats (and int32s), the products' own first.
struct Layout {
  Layout(const Sizes& s, int64_t top, bool gradient, int threads) {
    size_t bytes = std::max(GemmWorkspace(s.rows, 2 * s.inner, s.hidden, threads),
                            GemmWorkspace(s.rows, s.hidden, s.inner, threads));
    if (gradient) {
      for (const size_t more : {GemmWorkspace(s.rows, s.inner, s.hidden, threads),
                                GemmWorkspace(s.rows, s.hidden, 2 * s.inner, threads),
                                GemmWorkspace(2 * s.inner, s.hidden, s.rows, threads),
                                GemmWorkspace(s.hidden, s.inner, s.rows, threads)})
        bytes = std::max(bytes, more);
    }
    const auto take = [this](int64_t size) {
      const int64_t at = total;
      total += Align(size);
      return at;
    };
    take(static_cast<int64_t>(bytes / sizeof(float)) + 1);
    chosen = take(s.rows * top);
    slots = take(s.rows * top);
    offsets = take(s.experts + 1);
    weights = take(s.rows * top);
    gathered = take(s.rows * s.hidden);
    projected = take(s.rows * 2 * s.inner);
    inner = take(s.rows * s.inner);
    result = take(s.rows * s.hidden);
    if (!gradient) return;
    d_weights = take(s.rows * top);
    d_rows = take(s.rows * s.hidden);
    d_inner = take(s.rows * s.inner);
    d_projected = take(s.rows * 2 * s.inner);
  }
  int64_t total = 0;
  int64_t chosen, slots, offsets, weights, gathered, projected, inner, result;
  int64_t d_weights = 0, d_rows = 0, d_inner = 0, d_projected = 0;
};

template <bool kGradient>
size_t Workspace(const Instruction& in, int threads) {
  return sizeof(float) * static_cast<size_t>(Layout(Sizes(in), Settings(in).top, kGradient, threads).total);
}

int64_t RowStride(const Operand& x) { return x.dims[0] > 1 ? x.strides[0] : x.dims[1]; }

// C (m, n) = A (m, k) · B (k, n), row-major with the strides given.
struct Factor {
  const float* data;
  int64_t row, column;
};

// One run: the choice, and what forward and backward pass have in common.
class Experts {
 public:
  Experts(const Instruction& in, Context& context, bool gradient)
      : in_(in),
        context_(context),
        settings_(in),
        sizes_(in),
        layout_(sizes_, settings_.top, gradient, context.threads()),
        workspace_(reinterpret_cast<float*>(context.workspace)),
        chosen_(Ints(layout_.chosen)),
        slots_(Ints(layout_.slots)),
        offsets_(Ints(layout_.offsets)),
        weights_(workspace_ + layout_.weights) {
    Choose();
    Sort();
  }

  void Forward() {
    float* const y = in_[kY].As<float>();
    std::fill_n(y, in_[kY].Size(), 0.0f);
    for (int64_t e = 0; e < sizes_.experts && !Aborted(); ++e) {
      const int64_t n = Count(e);
      if (n == 0) continue;
      Project(e);
      float* const inner = workspace_ + layout_.inner;
      Weigh(e, inner, sizes_.inner);
      float* const result = workspace_ + layout_.result;
      Multiply(n, sizes_.hidden, sizes_.inner, {inner, sizes_.inner, 1}, {Down(e), 1, sizes_.inner}, result);
      AddToRows(e, result, y);
    }
  }

  void Backward() {
    const int64_t h = sizes_.hidden, i = sizes_.inner;
    float* const dx = in_[kDX].As<float>();
    std::fill_n(dx, in_[kDX].Size(), 0.0f);
    for (int64_t e = 0; e < sizes_.experts && !Aborted(); ++e) {
      const int64_t n = Count(e);
      float* const d_gate_up = in_[kDGateUp].As<float>() + e * 2 * i * h;
      float* const d_down = in_[kDDown].As<float>() + e * h * i;
      if (n == 0) {
        std::fill_n(d_gate_up, 2 * i * h, 0.0f);
        std::fill_n(d_down, h * i, 0.0f);
        continue;
      }
      Project(e);
      float *const inner = workspace_ + layout_.inner, *const d_inner = workspace_ + layout_.d_inner;
      float *const d_rows = workspace_ + layout_.d_rows, *const result = workspace_ + layout_.result;
      float* const d_projected = workspace_ + layout_.d_projected;
      Gather(e, in_[kDY], d_rows);
      Multiply(n, i, h, {d_rows, h, 1}, {Down(e), i, 1}, d_inner);
      TakeWeightGradients(e, inner, d_inner);
      Weigh(e, d_inner, i);
      Weigh(e, d_rows, h);
      Multiply(h, i, n, {d_rows, 1, h}, {inner, i, 1}, d_down);
      DifferentiateGates(n, d_inner, d_projected);
      Multiply(2 * i, h, n, {d_projected, 1, 2 * i}, {workspace_ + layout_.gathered, h, 1}, d_gate_up);
      Multiply(n, h, 2 * i, {d_projected, 2 * i, 1}, {GateUp(e), h, 1}, result);
      AddToRows(e, result, dx);
    }
    DifferentiateProbabilities();
  }

 private:
  int32_t* Ints(int64_t at) const { return reinterpret_cast<int32_t*>(workspace_ + at); }
  bool Aborted() const { return context_.aborted.load(std::memory_order_relaxed); }
  int64_t Count(int64_t e) const { return offsets_[e + 1] - offsets_[e]; }
  const float* GateUp(int64_t e) const {
    return in_[kGateUp].As<float>() + e * 2 * sizes_.inner * sizes_.hidden;
  }
  const float* Down(int64_t e) const { return in_[kDown].As<float>() + e * sizes_.hidden * sizes_.inner; }

  // The experts of each row, best first, and their weights.
  void Choose() const {
    const float* const probabilities = in_[kProbabilities].As<float>();
    const int64_t top = settings_.top, experts = sizes_.experts;
    ForChunks(context_, sizes_.rows, experts * top, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        float* const weights = weights_ + t * top;
        ChooseOfRow(probabilities + t * experts, chosen_ + t * top, weights);
        float sum = 0;
        for (int64_t j = 0; j < top; ++j) sum += weights[j];
        for (int64_t j = 0; settings_.normalize && j < top; ++j) weights[j] /= sum;
      }
    });
  }

  void ChooseOfRow(const float* row, int32_t* chosen, float* weights) const {
    int64_t count = 0;
    for (int64_t e = 0; e < sizes_.experts; ++e) {
      if (count == settings_.top && !(row[e] > weights[count - 1])) continue;
      int64_t j = count < settings_.top ? count++ : count - 1;
      for (; j > 0 && row[e] > weights[j - 1]; --j) weights[j] = weights[j - 1], chosen[j] = chosen[j - 1];
      weights[j] = row[e], chosen[j] = static_cast<int32_t>(e);
    }
  }

  // slots_: numbers t · top + j by the expert that slot j of row t chose, rows in order.
  void Sort() {
    const int64_t count = sizes_.rows * settings_.top;
    std::fill_n(offsets_, sizes_.experts + 1, 0);
    for (int64_t s = 0; s < count; ++s) ++offsets_[chosen_[s] + 1];
    for (int64_t e = 0; e < sizes_.experts; ++e) offsets_[e + 1] += offsets_[e];
    for (int64_t s = 0; s < count; ++s) slots_[offsets_[chosen_[s]]++] = static_cast<int32_t>(s);
    for (int64_t e = sizes_.experts; e > 0; --e) offsets_[e] = offsets_[e - 1];
    offsets_[0] = 0;
  }

  // fn(row of the expert, row of x, slot)
  template <class F>
  void ForRows(int64_t e, int64_t columns, F fn) const {
    const int32_t* const slots = slots_ + offsets_[e];
    ForChunks(context_, Count(e), columns, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) fn(r, slots[r] / settings_.top, slots[r]);
    });
  }

  void Gather(int64_t e, const Operand& from, float* to) const {
    const int64_t h = sizes_.hidden, stride = RowStride(from);
    const float* const data = from.As<float>();
    ForRows(e, h, [=](int64_t r, int64_t t, int64_t) { std::copy_n(data + t * stride, h, to + r * h); });
  }

  // No row has an expert twice, so rows can be changed at once.
  void AddToRows(int64_t e, const float* from, float* to) const {
    const int64_t h = sizes_.hidden;
    const auto accumulate = context_.kernels.rows.accumulate;
    ForRows(e, h, [=](int64_t r, int64_t t, int64_t) { accumulate(from + r * h, to + t * h, h); });
  }

  void Weigh(int64_t e, float* rows, int64_t columns) const {
    const auto multiply = context_.kernels.elementwise.binary[static_cast<int>(Binary::multiply)];
    ForRows(e, columns, [=, this](int64_t r, int64_t, int64_t s) {
      float* const row = rows + r * columns;
      multiply(row, 1, weights_ + s, 0, row, columns);
    });
  }

  // The rows of an expert, its projections of them, and f(gate) ⊙ up.
  void Project(int64_t e) const {
    const int64_t n = Count(e), h = sizes_.hidden, i = sizes_.inner;
    float *const gathered = workspace_ + layout_.gathered, *const projected = workspace_ + layout_.projected;
    float* const inner = workspace_ + layout_.inner;
    Gather(e, in_[kX], gathered);
    Multiply(n, 2 * i, h, {gathered, h, 1}, {GateUp(e), 1, h}, projected);
    const auto gated = context_.kernels.elementwise.gated;
    ForRows(e, i, [=, this](int64_t r, int64_t, int64_t) {
      const float* const row = projected + r * 2 * i;
      gated(settings_.function, row, row + i, inner + r * i, i);
    });
  }

  void DifferentiateGates(int64_t n, const float* d_inner, float* d_projected) const {
    const int64_t i = sizes_.inner;
    const float* const projected = workspace_ + layout_.projected;
    const auto gradient = context_.kernels.elementwise.gated_gradient;
    ForChunks(context_, n, i, [=, this](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const float* const row = projected + r * 2 * i;
        float* const d_row = d_projected + r * 2 * i;
        gradient(settings_.function, row, row + i, d_inner + r * i, d_row, d_row + i, i);
      }
    });
  }

  // ∂loss/∂w of each slot: how much of its result, without the weight, lies in dy.
  void TakeWeightGradients(int64_t e, const float* inner, const float* d_inner) const {
    const int64_t i = sizes_.inner;
    float* const d_weights = workspace_ + layout_.d_weights;
    ForRows(e, i, [=](int64_t r, int64_t, int64_t s) {
      double sum = 0;
      for (int64_t c = 0; c < i; ++c) sum += static_cast<double>(inner[r * i + c]) * d_inner[r * i + c];
      d_weights[s] = static_cast<float>(sum);
    });
  }

  void DifferentiateProbabilities() const {
    const int64_t top = settings_.top, experts = sizes_.experts;
    const float* const probabilities = in_[kProbabilities].As<float>();
    const float* const d_weights = workspace_ + layout_.d_weights;
    float* const gradient = in_[kDProbabilities].As<float>();
    ForChunks(context_, sizes_.rows, experts, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        const int32_t* const chosen = chosen_ + t * top;
        float sum = 0, mean = 0;
        for (int64_t j = 0; j < top; ++j) {
          sum += probabilities[t * experts + chosen[j]];
          mean += d_weights[t * top + j] * weights_[t * top + j];
        }
        std::fill_n(gradient + t * experts, experts, 0.0f);
        for (int64_t j = 0; j < top; ++j) {
          const float d = d_weights[t * top + j];
          gradient[t * experts + chosen[j]] = settings_.normalize ? (d - mean) / sum : d;
        }
      }
    });
  }

  void Multiply(int64_t m, int64_t n, int64_t k, Factor a, Factor b, float* c) const {
    Gemm g;
    g.m = m, g.n = n, g.k = k;
    g.a = a.data, g.a_row = a.row, g.a_k = a.column;
    g.b = b.data, g.b_k = b.row, g.b_column = b.column;
    g.c = c, g.c_row = n;
    g.epilogue.function = Unary::identity;
    RunGemm(g, context_);
  }

  const Instruction& in_;
  Context& context_;
  const Settings settings_;
  const Sizes sizes_;
  const Layout layout_;
  float* const workspace_;
  int32_t *const chosen_, *const slots_, *const offsets_;
  float* const weights_;
};

void Run(const Instruction& in, Context& context) { Experts(in, context, false).Forward(); }
void RunGradient(const Instruction& in, Context& context) { Experts(in, context, true).Backward(); }

void Reference(const Instruction& in) {
  const Settings s(in);
  reference::MixtureOfExperts(ReferenceView<double>(in[kX]), ReferenceView<double>(in[kProbabilities]),
                              ReferenceView<double>(in[kGateUp]), ReferenceView<double>(in[kDown]),
                              ReferenceView<double>(in[kY]), s.top, s.normalize, s.function);
}

void ReferenceGradient(const Instruction& in) {
  const Settings s(in);
  reference::MixtureOfExpertsGradient(
      ReferenceView<double>(in[kX]), ReferenceView<double>(in[kProbabilities]),
      ReferenceView<double>(in[kGateUp]), ReferenceView<double>(in[kDown]), ReferenceView<double>(in[kDY]),
      ReferenceView<double>(in[kDX]), ReferenceView<double>(in[kDProbabilities]),
      ReferenceView<double>(in[kDGateUp]), ReferenceView<double>(in[kDDown]), s.top, s.normalize, s.function);
}

}  // namespace

const OpInfo kMixtureOfExpertsOp = {"mixtureOfExperts", 4, 1, 3, Check, Workspace<false>, Run, Reference};
const OpInfo kMixtureOfExpertsGradientOp = {
    "mixtureOfExpertsGradient", 5, 4, 3, CheckGradient, Workspace<true>, RunGradient, ReferenceGradient};

}  // namespace heedful
