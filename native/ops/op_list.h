// THE list of native operations. Adding one: a line here, a driver beside it, kernels, a reference, and the
// TypeScript definition in lib/ops that carries its shape rule and gradient rule.
//
// In brackets: operands that may be absent. A trailing comment gives inputs → outputs {attributes}.
#pragma once

#include "ops/instruction.h"

namespace heedful {

// clang-format off
#define HEEDFUL_OPS(X)                                                                                             \
  X(Copy)                   /* x → y (casts; any strides; x broadcasts to y by stride 0)                        */ \
  X(Fill)                   /* → y {value}                                                                      */ \
  X(Unary)                  /* x → y {function}                                                                 */ \
  X(UnaryGradient)          /* x, dy → dx {function}                                                            */ \
  X(Binary)                 /* a, b → y {function}                                                              */ \
  X(Gated)                  /* gate, up → y {function}                                                          */ \
  X(GatedGradient)          /* gate, up, dy → dGate, dUp {function}                                             */ \
  X(Reduce)                 /* x → y (reduced dimensions are 1 in y) {function}                                 */ \
  X(Dropout)                /* x, seed i32 [] → y {probability, stream}                                         */ \
  X(Matmul)                 /* a, b, [bias], [aux] → y, [preActivation] {function, gradient, format of b, round} */ \
  X(Quantize)               /* x → panels i32 {format}                                                          */ \
  X(Dequantize)             /* panels i32 → y {format}                                                          */ \
  X(PackRows)               /* rows of a file i32 → panels i32 {format, k, n}                                   */ \
  X(PackedColumns)          /* panels i32, ids i32 → y {format, n}                                              */ \
  X(Softmax)                /* x → y {log}                                                                      */ \
  X(SoftmaxGradient)        /* y, dy → dx {log}                                                                 */ \
  X(Norm)                   /* x, [residual], [weight], [bias] → y, [sum], [mean], [rstd] {epsilon, center}     */ \
  X(NormGradient)           /* dy, x, [weight], [mean], rstd, [gradResidual] → dx, [dWeight], [dBias] {center}  */ \
  X(CrossEntropy)           /* logits, targets → loss, [lse] {ignoreIndex, smoothing, reduction}                */ \
  X(CrossEntropyGradient)   /* logits, targets, lse, dLoss → dLogits {ignoreIndex, smoothing, reduction}        */ \
  X(LinearCrossEntropy)     /* hidden, weight, targets, [bias] → loss, [dHidden], [dWeight], [dBias] {as above} */ \
  X(Embedding)              /* table, ids i32 → y                                                               */ \
  X(EmbeddingGradient)      /* ids i32, dy, [base] → dTable {paddingIndex}                                      */ \
  X(EmbeddingRows)          /* ids i32, dy → rows, slots i32 {paddingIndex}                                      */ \
  X(RotaryAngles)           /* positions i32, frequencies → angles {scale}                                      */ \
  X(Rotary)                 /* x, angles → y {interleaved, inverse}                                             */ \
  X(Attention)              /* q, k, v, [keyLengths], [offsets], [keyOffsets], [bias], [slopes], [queryAngles],    \
                               [keyAngles] → o, [lse], [probabilities] {scale, causal, left, right, softcap,        \
                               rounds, interleaved}                                                             */ \
  X(AttentionGradient)      /* q, k, v, o, lse, dO, [keyLengths] … [slopes] → dQ, dK, dV, [dBias] {scale … rounds} */ \
  X(CacheWrite)             /* x, position i32, [offsets], [slots], [angles] → cache {format, interleaved}      */ \
  X(CacheCopy)              /* from i32, to i32, lengths i32 → cache {format, D}                                */ \
  X(CachedAttention)        /* q, keys, values, keyLengths i32, [offsets], [slots], [bias], [slopes], [angles] → o \
                               {scale, causal, format, left, softcap, interleaved, rounds}                      */ \
  X(Sample)                 /* logits, seed i32, step i32, [temperature], [topK i32], [topP], [minP] → token i32  */ \
  X(MixtureOfExperts)       /* x, probabilities, gateUp, down → y {top, normalize, function}                    */ \
  X(MixtureOfExpertsGradient) /* x, probabilities, gateUp, down, dY → dX, dProbabilities, dGateUp, dDown {as above} */ \
  X(AdamW)                  /* gradient, learningRate [], step i32 [], [scale []], [slots i32] → parameter, m, v     \
                               {β1 β2 ε λ}                                                                      */ \
  X(GlobalNorm)             /* g… → norm []                                                                     */
// clang-format on

#define HEEDFUL_DECLARE_OP(name) extern const OpInfo k##name##Op;
HEEDFUL_OPS(HEEDFUL_DECLARE_OP)
#undef HEEDFUL_DECLARE_OP

}  // namespace heedful
