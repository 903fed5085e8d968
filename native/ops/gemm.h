// Blocked, threaded f32 matrix product over the kernels of one instruction set.
#pragma once

#include <optional>

#include "ops/instruction.h"

namespace heedful {

constexpr int kGemmBatchRank = 4;
constexpr int64_t kMaxGateTerms = 65536;  // k of products with a gate: a row fits the workspace whole

// C[i, j] = epilogue(Σ_k A[i, k] · B[k, j]),  A (m, k), B (k, n), C (m, n), for every index of a batch.
// In A and in B one of the two strides is 1; rows of C, aux and pre_activation are contiguous. C overlaps
// nothing. B may be packed (panels.h): then rows of A are contiguous too.
struct Gemm {
  int64_t m = 0, n = 0, k = 0;
  const float* a = nullptr;
  int64_t a_row = 0, a_k = 0;  // A[i, k] at a[i·a_row + k·a_k]
  const float* b = nullptr;
  int64_t b_k = 0, b_column = 0;      // B[k, j] at b[k·b_k + j·b_column]
  std::optional<PanelFormat> format;  // b: words of panels; b_k and b_column mean nothing
  bool bf16 = false;                  // A and B, not packed, are rounded to bfloat16
  float* c = nullptr;
  int64_t c_row = 0;
  GemmEpilogue epilogue = {};

  // C = epilogue(…) ⊙ f(A·G + bias) with a G (k, n) that is packed as B is; the epilogue only adds a bias
  // then.
  struct Gate {
    const float* b = nullptr;  // panels of G; nullptr: none
    const float* bias = nullptr;
    Unary function = Unary::identity;
  } gate;

  // Outermost first; a stride of 0 shares a matrix.
  struct BatchDim {
    int64_t size = 1, a = 0, b = 0, c = 0, aux = 0, pre_activation = 0;
  } batch[kGemmBatchRank];

  int64_t BatchSize() const;
  Gemm At(int64_t index) const;  // with the pointers of one index of the batch
};

// Bytes of workspace that products up to this size need.
size_t GemmWorkspace(int64_t m, int64_t n, int64_t k, int threads);

// The result of an element depends only on k and the instruction set, not on the number of threads; that of a
// row not on m either, except that a few rows by a B that is not packed are matrix-vector products.
// bf16: both operands to nearest even, products exact, sums in f32; where the CPU multiplies pairs of
// bfloat16, denormals are 0. Packed bf16: where the CPU multiplies pairs of bfloat16, A is rounded to them as
// well (to nearest even), and denormals are 0; elsewhere the result is that of the same numbers in f32.
void RunGemm(const Gemm& gemm, Context& context);

}  // namespace heedful
