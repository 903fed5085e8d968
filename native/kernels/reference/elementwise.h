// Elementwise functions and their derivatives, from their definitions.
#pragma once

#include <cmath>
#include <limits>
#include <numbers>

#include "kernels/kernel_table.h"
#include "kernels/reference/strided.h"

namespace heedful::reference {

// σ(x) = ½(1 + tanh(x/2)), without what that cancels.
template <class T>
T Logistic(T x) {
  return 1 / (1 + std::exp(-x));
}

// gelu's tanh form is ½x(1 + tanh u) = x · σ(2u).
template <class T>
T GeluTanhArgument(T x) {
  return std::sqrt(T(2 / std::numbers::pi)) * (x + T(0.044715) * x * x * x);
}

template <class T>
T Value(Unary f, T x) {
  using std::sqrt, std::exp, std::tanh, std::erfc;
  switch (f) {
    case Unary::identity:
      return x;
    case Unary::negate:
      return -x;
    case Unary::absolute:
      return std::fabs(x);
    case Unary::square:
      return x * x;
    case Unary::squareRoot:
      return sqrt(x);
    case Unary::reciprocalSquareRoot:
      return 1 / sqrt(x);
    case Unary::reciprocal:
      return 1 / x;
    case Unary::exp:
      return exp(x);
    case Unary::log:
      return std::log(x);
    case Unary::sine:
      return std::sin(x);
    case Unary::cosine:
      return std::cos(x);
    case Unary::erf:
      return std::erf(x);
    case Unary::sign:
      return x > 0 ? T(1) : x < 0 ? T(-1) : x;
    case Unary::relu:
      return x < 0 ? T(0) : x;
    case Unary::gelu:
      // The limit at −∞.
      return x == -std::numeric_limits<T>::infinity() ? T(0) : x * erfc(-x / sqrt(T(2))) / 2;
    case Unary::geluTanh:
      return x * Logistic(2 * GeluTanhArgument(x));
    case Unary::silu:
      return x * Logistic(x);
    case Unary::sigmoid:
      return Logistic(x);
    case Unary::tanh:
      return tanh(x);
    case Unary::kCount:
      break;
  }
  return x;
}

template <class T>
T Derivative(Unary f, T x) {
  using std::sqrt, std::exp, std::erfc;
  switch (f) {
    case Unary::identity:
      return 1;
    case Unary::negate:
      return -1;
    case Unary::absolute:
      return Value(Unary::sign, x);
    case Unary::square:
      return 2 * x;
    case Unary::squareRoot:
      return 1 / (2 * sqrt(x));
    case Unary::reciprocalSquareRoot:
      return -1 / (2 * x * sqrt(x));
    case Unary::reciprocal:
      return -1 / (x * x);
    case Unary::exp:
      return exp(x);
    case Unary::log:
      return 1 / x;
    case Unary::sine:
      return std::cos(x);
    case Unary::cosine:
      return -std::sin(x);
    case Unary::erf:
      return T(2 * std::numbers::inv_sqrtpi) * exp(-x * x);
    case Unary::sign:
      return 0;
    case Unary::relu:
      return x > 0 ? T(1) : T(0);
    case Unary::gelu:
      return erfc(-x / sqrt(T(2))) / 2 + x * exp(-x * x / 2) / sqrt(T(2 * std::numbers::pi));
    case Unary::geluTanh: {
      const T u = GeluTanhArgument(x), slope = sqrt(T(2 / std::numbers::pi)) * (1 + 3 * T(0.044715) * x * x);
      return Logistic(2 * u) * (1 + 2 * x * slope * Logistic(-2 * u));
    }
    case Unary::silu:
      return Logistic(x) * (1 + x * Logistic(-x));
    case Unary::sigmoid:
      return Logistic(x) * Logistic(-x);
    case Unary::tanh:
      return 1 / (std::cosh(x) * std::cosh(x));
    case Unary::kCount:
      break;
  }
  return x;
}

template <class T>
T Value(Binary f, T a, T b) {
  switch (f) {
    case Binary::add:
      return a + b;
    case Binary::subtract:
      return a - b;
    case Binary::multiply:
      return a * b;
    case Binary::divide:
      return a / b;
    case Binary::minimum:
      return std::isnan(a) || a < b ? a : b;
    case Binary::maximum:
      return std::isnan(a) || a > b ? a : b;
    case Binary::power:
      return std::pow(a, b);
    case Binary::greater:
      return a > b ? T(1) : T(0);
    case Binary::greaterEqual:
      return a >= b ? T(1) : T(0);
    case Binary::equal:
      return a == b ? T(1) : T(0);
    case Binary::kCount:
      break;
  }
  return a;
}

// y[i] = f(x[i])
template <class T>
void UnaryMap(Unary f, View<T> x, View<T> y) {
  ForEach(y.dims, [&](const Indices& i) { y(i) = Value(f, x(i)); });
}

// dx[i] = dy[i] · f'(x[i])
template <class T>
void UnaryGradient(Unary f, View<T> x, View<T> dy, View<T> dx) {
  ForEach(dx.dims, [&](const Indices& i) { dx(i) = dy(i) * Derivative(f, x(i)); });
}

// y[i] = f(a[i], b[i])
template <class T>
void BinaryMap(Binary f, View<T> a, View<T> b, View<T> y) {
  ForEach(y.dims, [&](const Indices& i) { y(i) = Value(f, a(i), b(i)); });
}

// y[i] = f(gate[i]) · up[i]
template <class T>
void Gated(Unary f, View<T> gate, View<T> up, View<T> y) {
  ForEach(y.dims, [&](const Indices& i) { y(i) = Value(f, gate(i)) * up(i); });
}

// dGate[i] = dy[i] · up[i] · f'(gate[i]);  dUp[i] = dy[i] · f(gate[i])
template <class T>
void GatedGradient(Unary f, View<T> gate, View<T> up, View<T> dy, View<T> d_gate, View<T> d_up) {
  ForEach(d_gate.dims, [&](const Indices& i) {
    const T g = gate(i), u = up(i), d = dy(i);
    d_gate(i) = d * u * Derivative(f, g);
    d_up(i) = d * Value(f, g);
  });
}

}  // namespace heedful::reference
