// Checks that drivers share. Every message begins with the name of the op.
#pragma once

#include <string>

#include "kernels/reference/strided.h"
#include "ops/instruction.h"

namespace heedful {

inline std::string ShapeText(const Operand& x) {
  std::string text = "[";
  for (int d = 0; d < x.rank; ++d) text += (d ? ", " : "") + std::to_string(x.dims[d]);
  return text + "]";
}

// "(2, 7)": the index of element `position` in row-major order.
inline std::string IndexText(const Operand& x, int64_t position) {
  std::string text;
  for (int d = x.rank - 1; d >= 0; --d) {
    text = std::to_string(position % x.dims[d]) + (text.empty() ? "" : ", ") + text;
    position /= x.dims[d];
  }
  return "(" + text + ")";
}

inline bool SameShape(const Operand& a, const Operand& b) {
  if (a.rank != b.rank) return false;
  for (int d = 0; d < a.rank; ++d) {
    if (a.dims[d] != b.dims[d]) return false;
  }
  return true;
}

// Checks of the operands of one instruction. The dtype of the first output is that of all floats.
class OperandCheck {
 public:
  OperandCheck(const char* op, DType dtype) : op_(op), dtype_(dtype) {
    Require(dtype == DType::kF32 || dtype == DType::kF64,
            "floating point operands expected, but the result is neither f32 nor f64");
  }

  void Require(bool condition, const std::string& message) const {
    HEEDFUL_CHECK(condition, std::string(op_) + ": " + message);
  }
  void Float(const char* name, const Operand& x) const {
    Require(x.present, std::string(name) + " is missing");
    Require(x.dtype == dtype_, std::string(name) + " must have the dtype of the result");
  }
  void Int(const char* name, const Operand& x) const {
    Require(x.present, std::string(name) + " is missing");
    Require(x.dtype == DType::kI32, std::string(name) + " must be i32");
  }
  void Scalar(const char* name, const Operand& x) const {
    Require(x.rank == 0, std::string(name) + " must have the shape [], not " + ShapeText(x));
  }
  void Shape(const char* name, const Operand& x, const Operand& like) const {
    Require(SameShape(x, like),
            std::string(name) + " must have the shape " + ShapeText(like) + ", not " + ShapeText(x));
  }
  void Vector(const char* name, const Operand& x, int64_t n) const {
    Require(x.rank == 1 && x.dims[0] == n,
            std::string(name) + " must have the shape [" + std::to_string(n) + "], not " + ShapeText(x));
    Contiguous(name, x);
  }
  // Each dimension of x, aligned at the last, is that of y or 1.
  void Broadcasts(const char* name, const Operand& x, const Operand& y) const {
    bool fits = x.rank <= y.rank;
    for (int i = 0; fits && i < x.rank; ++i)
      fits = x.DimFromEnd(i) == y.DimFromEnd(i) || x.DimFromEnd(i) == 1;
    Require(fits, std::string(name) + " " + ShapeText(x) + " does not broadcast to " + ShapeText(y));
  }
  // Every element of an output has a place of its own, as far as broadcasting goes.
  void Output(const char* name, const Operand& y) const {
    for (int d = 0; d < y.rank; ++d) {
      Require(y.strides[d] != 0 || y.dims[d] <= 1 || y.Size() == 0,
              std::string(name) + " must not be broadcast, it is written");
    }
  }
  void Rows(const char* name, const Operand& x) const {
    Require(x.rank == 0 || x.dims[x.rank - 1] <= 1 || x.strides[x.rank - 1] == 1,
            std::string("the last dimension of ") + name + " must be contiguous");
  }
  void Contiguous(const char* name, const Operand& x) const {
    Require(x.Contiguous(), std::string(name) + " must be contiguous");
  }
  // The attribute as an index of a list of `count`.
  void Choice(const char* name, double value, int count) const {
    Require(value >= 0 && value < count && value == static_cast<int>(value),
            std::string(name) + " must be a whole number below " + std::to_string(count) + ", not " +
                std::to_string(value));
  }

 private:
  const char* op_;
  DType dtype_;
};

// An absent operand has no data.
template <class T>
reference::View<T> ReferenceView(const Operand& x) {
  return {x.present ? x.As<T>() : nullptr, {x.dims, x.dims + x.rank}, {x.strides, x.strides + x.rank}};
}

inline size_t NoWorkspace(const Instruction&, int) { return 0; }

}  // namespace heedful
