// y[…, i, j] = f(Σ_k a[…, i, k] · b[…, k, j] + bias[j]), preActivation[…, i, j] = the argument of f; or with
// gradient = 1:  y[…, i, j] = (Σ_k a[…, i, k] · b[…, k, j] + bias[j]) · f'(aux[…, i, j]); or with a gate g:
//                y[…, i, j] = (Σ_k a[…, i, k] · b[…, k, j] + bias[j]) · f(Σ_k a[…, i, k] · g[k, j] +
//                gateBias[j]).
//
// a (…, m, k), b (…, k, n) → y (…, m, n), rank 2 to 6; leading dimensions of a and b are those of y or 1. All
// of one type, f32 or f64. Layouts: a and b: one of the last two strides is 1 (a dimension of size 1 has
// any), the others arbitrary; bias (n) contiguous; aux, preActivation and y: the last dimension contiguous,
// the others arbitrary. With format ≥ 0, b is i32: the panels (panels.cc) of one (k, n) matrix that all of a
// is multiplied by, and the last dimension of a is contiguous; g is packed likewise. y and preActivation
// overlap no other operand, except that y may be preActivation when f is the identity. k = 0 gives f(bias).
// Accuracy: ops/gemm.h; f as in kernel_table.h. With rounding = 1 the product is that of a and b rounded to
// bfloat16. The f64 loops multiply by the numbers that panels hold, and round as well.
#include "kernels/reference/matmul.h"

#include <algorithm>
#include <string>
#include <vector>

#include "kernels/bf16.h"
#include "kernels/reference/elementwise.h"
#include "ops/gemm.h"
#include "ops/op_list.h"
#include "ops/panel_words.h"

namespace heedful {
namespace {

enum { kA, kB, kBias, kAux, kGate, kGateBias, kY, kPreActivation };

// A dimension of at most one element never takes a step: its stride means nothing.
bool UnitStride(const Operand& x, int from_end) {
  return x.DimFromEnd(from_end) <= 1 || x.StrideFromEnd(from_end) == 1;
}

bool RoundsToBf16(const Instruction& in) { return in.attributes[3] == 1; }
bool Packed(const Instruction& in) { return in.attributes[2] >= 0; }

std::string Shape(const Operand& x) {
  std::string s = "(";
  for (int d = 0; d < x.rank; ++d) s += (d ? ", " : "") + std::to_string(x.dims[d]);
  return s + ")";
}

void CheckFactor(const Operand& x, const Operand& y, const char* name) {
  HEEDFUL_CHECK(x.present && x.rank >= 2 && x.rank <= y.rank,
                std::string("matmul: ") + name + " must have 2 to " + std::to_string(y.rank) +
                    " dimensions, not " + Shape(x));
  for (int d = 2; d < y.rank; ++d) {
    HEEDFUL_CHECK(x.DimFromEnd(d) == 1 || x.DimFromEnd(d) == y.DimFromEnd(d),
                  std::string("matmul: the leading dimensions of ") + name + " " + Shape(x) +
                      " must be those of the result " + Shape(y) + " or 1");
  }
  HEEDFUL_CHECK(UnitStride(x, 0) || UnitStride(x, 1),
                std::string("matmul: one of the last two dimensions of ") + name + " must be contiguous");
}

void CheckLikeResult(const Operand& x, const Operand& y, const char* name) {
  bool same = x.rank == y.rank;
  for (int d = 0; same && d < y.rank; ++d) same = x.dims[d] == y.dims[d];
  HEEDFUL_CHECK(same, std::string("matmul: ") + name + " must have the shape of the result " + Shape(y) +
                          ", not " + Shape(x));
  HEEDFUL_CHECK(UnitStride(x, 0),
                std::string("matmul: the last dimension of ") + name + " must be contiguous");
}

void CheckGate(const Instruction& in) {
  const Operand& gate = in[kGate];
  HEEDFUL_CHECK(gate || !in[kGateBias], "matmul: gateBias goes with a gate");
  if (!gate) return;
  HEEDFUL_CHECK(Packed(in) && !in[kAux] && !in[kPreActivation],
                "matmul: a gate goes with a packed b, and neither with aux nor with preActivation");
  const int64_t k = in[kA].DimFromEnd(0);
  HEEDFUL_CHECK(k <= kMaxGateTerms, "matmul: with a gate, k may be at most " + std::to_string(kMaxGateTerms) +
                                        ", not " + std::to_string(k));
  CheckPanels("matmul", gate, in.attributes[2], k, in[kY].DimFromEnd(0));
}

void Check(const Instruction& in) {
  const Operand &a = in[kA], &b = in[kB], &bias = in[kBias], &aux = in[kAux], &y = in[kY],
                &pre = in[kPreActivation];
  HEEDFUL_CHECK(y.present && y.rank >= 2 && y.rank <= kGemmBatchRank + 2,
                "matmul: the result must have 2 to 6 dimensions, not " + Shape(y));
  for (const Operand& x : in.operands) {
    const bool panels = (Packed(in) && &x == &b) || &x == &in[kGate];
    HEEDFUL_CHECK(
        !x.present || panels || (x.dtype == y.dtype && (y.dtype == DType::kF32 || y.dtype == DType::kF64)),
        "matmul: all operands must be of one floating-point type");
  }
  CheckFactor(a, y, "a");
  CheckLikeResult(y, y, "the result");
  HEEDFUL_CHECK(a.DimFromEnd(1) == y.DimFromEnd(1),
                "matmul: a " + Shape(a) + " must have the rows of the result " + Shape(y));
  if (Packed(in)) {
    CheckPanels("matmul", b, in.attributes[2], a.DimFromEnd(0), y.DimFromEnd(0));
    HEEDFUL_CHECK(UnitStride(a, 0), "matmul: the last dimension of a must be contiguous where b is packed");
  } else {
    CheckFactor(b, y, "b");
    HEEDFUL_CHECK(b.DimFromEnd(0) == y.DimFromEnd(0) && a.DimFromEnd(0) == b.DimFromEnd(1),
                  "matmul: " + Shape(a) + " by " + Shape(b) + " does not give " + Shape(y));
  }
  for (const Operand* row : {&bias, &in[kGateBias]}) {
    HEEDFUL_CHECK(!*row || (row->rank == 1 && row->dims[0] == y.DimFromEnd(0) && row->Contiguous()),
                  "matmul: bias must be a contiguous row of " + std::to_string(y.DimFromEnd(0)) + ", not " +
                      Shape(*row));
  }
  const double function = in.attributes[0], gradient = in.attributes[1];
  HEEDFUL_CHECK(function >= 0 && function < kUnaryCount && function == static_cast<int>(function),
                "matmul: unknown function " + std::to_string(function));
  HEEDFUL_CHECK(gradient == 0 || gradient == 1, "matmul: gradient must be 0 or 1");
  HEEDFUL_CHECK(in.attributes[3] == 0 || (in.attributes[3] == 1 && !Packed(in)),
                "matmul: rounding must be 0 or 1, and 0 where b is packed");
  HEEDFUL_CHECK(aux.present == (gradient == 1), "matmul: aux goes with gradient = 1, and only with it");
  HEEDFUL_CHECK(!pre || gradient == 0, "matmul: preActivation does not go with gradient = 1");
  CheckGate(in);
  if (aux) CheckLikeResult(aux, y, "aux");
  if (pre) CheckLikeResult(pre, y, "preActivation");
}

// Strides of a matrix (rows, columns) such that exactly one of them is 1 and says which way it is contiguous,
// where a dimension of one element leaves a choice: the longer way.
void SetStrides(const Operand& x, int64_t* row, int64_t* column) {
  const int64_t rows = x.DimFromEnd(1), columns = x.DimFromEnd(0);
  *row = x.StrideFromEnd(1);
  *column = x.StrideFromEnd(0);
  if (columns <= 1 && *row == 1) {
    *column = 2;
  } else if (columns <= 1 || *column == 1) {
    *column = 1;
    if (rows <= 1) *row = 2;
  } else if (rows <= 1) {
    *row = 1;
  }
}

int64_t BatchStride(const Operand& x, int from_end) {
  return x.DimFromEnd(from_end) == 1 ? 0 : x.StrideFromEnd(from_end);
}

// Rows of consecutive matrices that share b and continue each other are rows of one matrix.
void MergeBatch(Gemm& g) {
  GemmEpilogue& e = g.epilogue;
  for (int d = kGemmBatchRank - 1; d >= 0; --d) {
    Gemm::BatchDim& dim = g.batch[d];
    if (dim.size == 1) continue;
    if (dim.b != 0) return;
    if (g.m == 1) {
      if (g.a_k != 1 && dim.a != 1) return;
      g.a_row = dim.a;
      g.c_row = dim.c;
      e.aux_row = dim.aux;
      e.pre_activation_row = dim.pre_activation;
    } else if (dim.a != g.m * g.a_row || dim.c != g.m * g.c_row || (e.aux && dim.aux != g.m * e.aux_row) ||
               (e.pre_activation && dim.pre_activation != g.m * e.pre_activation_row)) {
      return;
    }
    g.m *= dim.size;
    dim = {};
  }
}

Gemm MakeGemm(const Instruction& in) {
  const Operand &a = in[kA], &b = in[kB], &bias = in[kBias], &aux = in[kAux], &y = in[kY],
                &pre = in[kPreActivation];
  Gemm g;
  g.m = y.DimFromEnd(1);
  g.n = y.DimFromEnd(0);
  g.k = a.DimFromEnd(0);
  g.a = a.As<float>();
  g.b = b.As<float>();
  g.c = y.As<float>();
  SetStrides(a, &g.a_row, &g.a_k);
  if (Packed(in)) {
    g.format = static_cast<PanelFormat>(static_cast<int>(in.attributes[2]));
    g.a_row = a.StrideFromEnd(1);
    g.a_k = 1;
  } else {
    SetStrides(b, &g.b_k, &g.b_column);
  }
  g.bf16 = RoundsToBf16(in);
  g.c_row = y.StrideFromEnd(1);
  const auto function = static_cast<Unary>(static_cast<int>(in.attributes[0]));
  if (in[kGate]) {
    g.gate = {in[kGate].As<float>(), in[kGateBias] ? in[kGateBias].As<float>() : nullptr, function};
  } else {
    g.epilogue.function = function;
    g.epilogue.combine = in.attributes[1] == 1 ? GemmCombine::gradient : GemmCombine::none;
  }
  if (bias) g.epilogue.bias = bias.As<float>();
  if (aux) {
    g.epilogue.aux = aux.As<float>();
    g.epilogue.aux_row = aux.StrideFromEnd(1);
  }
  if (pre) {
    g.epilogue.pre_activation = pre.As<float>();
    g.epilogue.pre_activation_row = pre.StrideFromEnd(1);
  }
  for (int d = 0; d < kGemmBatchRank; ++d) {
    const int from_end = kGemmBatchRank + 1 - d;
    g.batch[d] = {
        y.DimFromEnd(from_end),   BatchStride(a, from_end),   Packed(in) ? 0 : BatchStride(b, from_end),
        BatchStride(y, from_end), BatchStride(aux, from_end), BatchStride(pre, from_end)};
  }
  MergeBatch(g);
  return g;
}

size_t Workspace(const Instruction& in, int threads) {
  // Batches may be merged into m.
  const Operand& y = in[kY];
  return GemmWorkspace(y.Rows(), y.DimFromEnd(0), in[kA].DimFromEnd(0), threads);
}

void Run(const Instruction& in, Context& context) { RunGemm(MakeGemm(in), context); }

template <class T>
T* BatchData(const Operand& x, const Operand& y, int64_t index) {
  T* data = x.As<T>();
  for (int d = 2; d < y.rank; ++d) {
    data += index % y.DimFromEnd(d) * BatchStride(x, d);
    index /= y.DimFromEnd(d);
  }
  return data;
}

// The (k, n) matrix that was packed, contiguous.
std::vector<double> Unpacked(const Instruction& in, const Operand& panels) {
  const auto format = static_cast<PanelFormat>(static_cast<int>(in.attributes[2]));
  const int64_t k = in[kA].DimFromEnd(0), n = in[kY].DimFromEnd(0);
  std::vector<double> matrix(k * n);
  std::vector<float> rows(k * kPanelColumns);
  for (int64_t j = 0; j < n; j += kPanelColumns) {
    UnpackRows(format, panels.As<uint32_t>() + j / kPanelColumns * PanelWords(format, k), k, 0, k,
               rows.data());
    for (int64_t i = 0; i < k; ++i)
      std::copy_n(rows.data() + i * kPanelColumns, std::min<int64_t>(kPanelColumns, n - j),
                  &matrix[i * n + j]);
  }
  return matrix;
}

// Of bfloat16, contiguous.
std::vector<double> Rounded(const reference::Matrix<const double>& x, int64_t rows, int64_t columns) {
  std::vector<double> y(rows * columns);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) y[i * columns + j] = Widen(RoundToBf16(x(i, j)));
  }
  return y;
}

void Reference(const Instruction& in) {
  const Operand &a = in[kA], &b = in[kB], &y = in[kY];
  const int64_t m = y.DimFromEnd(1), n = y.DimFromEnd(0);
  const Unary function = static_cast<Unary>(static_cast<int>(in.attributes[0]));
  const int64_t count = m && n ? y.Size() / (m * n) : 0;
  const std::vector<double> unpacked = Packed(in) ? Unpacked(in, in[kB]) : std::vector<double>{};
  std::vector<double> gate(in[kGate] ? m * n : 0);
  const std::vector<double> gate_matrix = in[kGate] ? Unpacked(in, in[kGate]) : std::vector<double>{};
  for (int64_t index = 0; index < count; ++index) {
    const auto matrix = [&](const Operand& x) {
      return reference::Matrix<double>{BatchData<double>(x, y, index), x.StrideFromEnd(1),
                                       x.StrideFromEnd(0)};
    };
    const auto constant = [&](const Operand& x) {
      return reference::Matrix<const double>{BatchData<double>(x, y, index), x.StrideFromEnd(1),
                                             x.StrideFromEnd(0)};
    };
    const reference::Matrix<double> result = matrix(y);
    const reference::Matrix<const double> factor =
        Packed(in) ? reference::Matrix<const double>{unpacked.data(), n, 1} : constant(b);
    const int64_t k = a.DimFromEnd(0);
    if (RoundsToBf16(in)) {
      const std::vector<double> left = Rounded(constant(a), m, k), right = Rounded(factor, k, n);
      reference::Matmul<double>({left.data(), k, 1}, {right.data(), n, 1}, result, m, n, k);
    } else {
      reference::Matmul<double>(constant(a), factor, result, m, n, k);
    }
    if (in[kGate])
      reference::Matmul<double>(constant(a), {gate_matrix.data(), n, 1}, {gate.data(), n, 1}, m, n, k);
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        const double x = result(i, j) + (in[kBias] ? in[kBias].As<double>()[j] : 0);
        if (in[kPreActivation]) matrix(in[kPreActivation])(i, j) = x;
        if (in[kGate]) {
          const double shift = in[kGateBias] ? in[kGateBias].As<double>()[j] : 0;
          result(i, j) = x * reference::Value(function, gate[i * n + j] + shift);
        } else {
          result(i, j) = in[kAux] ? x * reference::Derivative(function, constant(in[kAux])(i, j))
                                  : reference::Value(function, x);
        }
      }
    }
  }
}

}  // namespace

const OpInfo kMatmulOp = {
    .name = "matmul",
    .inputs = 6,
    .outputs = 2,
    .attributes = 4,
    .check = Check,
    .workspace = Workspace,
    .run = Run,
    .reference = Reference,
    .integers_are_data = true,
};

}  // namespace heedful
