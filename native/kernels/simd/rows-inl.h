// The table entry of what works on rows: softmax, norms, loss, reductions.
// Included inside each instruction set's anonymous namespace, after the four that it lists.
constexpr RowKernels kRowKernels = {
    &Softmax,   &SoftmaxGradient, &Norm,          &NormGradient, &CrossEntropy, &CrossEntropyGradient,
    &SumKernel, &MaximumKernel,   &MinimumKernel, &SumOfSquares, &Accumulate,
};
