/**
 * Arithmetic operations of one element, as single precision needs them: a polynomial of degree n in Horner's form is n
 * multiply-adds. What a function can be computed with, by which its speed is judged; not what the kernels happen to do.
 */
const exp = 14 // reduction: a product, a rounding; degree 6
const sigmoid = exp + 2
export const operations = {
  exp,
  sigmoid,
  silu: sigmoid + 1,
  tanh: exp + 4,
  geluTanh: sigmoid + 6,
  gelu: exp + 18, // the tail of erf: degree 8 times e^(−x²/2)
  relu: 1,
} as const
