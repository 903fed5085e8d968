// Elementary functions over Vec. Included inside each instruction set's anonymous namespace.

// 2ˣ: split x = n + f, |f| ≤ ½, polynomial of degree 6 in f (minimax, relative error 1.8e-7), scaled by 2ⁿ.
// Below −150 the result is 0, above 128 ∞; NaN stays NaN.
inline Vec Exp2(Vec x) {
  // Bounded so that n stays small; the second operand of Min and Max is what NaN would give, hence the order.
  const Vec bounded = Min(Set1(160.0f), Max(Set1(-160.0f), x));
  const Vec n = Round(bounded);
  const Vec f = bounded - n;
  Vec p = Set1(1.54035304e-4f);
  p = Fma(p, f, Set1(1.33335581e-3f));
  p = Fma(p, f, Set1(9.61812911e-3f));
  p = Fma(p, f, Set1(5.55041087e-2f));
  p = Fma(p, f, Set1(2.40226507e-1f));
  p = Fma(p, f, Set1(6.93147182e-1f));
  p = Fma(p, f, Set1(1.0f));
  return ScaleB(p, n);
}
