#include "program/decode.h"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>

#include "ops/op_list.h"

namespace heedful {
namespace {

// Sizes, strides and offsets stay below this, so that the product of two checked ones is caught before it
// overflows.
constexpr int64_t kLargest = int64_t{1} << 52;

std::string Show(double value) {
  std::ostringstream text;
  text.precision(17);
  text << value;
  return text.str();
}

// Reads numbers one after another; every mistake is told with the operation it is in.
class Reader {
 public:
  Reader(const double* code, size_t length) : code_(code), length_(length) {}

  bool AtEnd() const { return position_ == length_; }
  void SetContext(std::string context) { context_ = std::move(context); }

  [[noreturn]] void Fail(const std::string& message) const { throw Error(context_ + ": " + message); }

  double Number(const char* what) {
    if (AtEnd()) Fail(std::string("the code ends where ") + what + " should be");
    return code_[position_++];
  }

  int64_t Integer(const char* what, int64_t low, int64_t high) {
    const double value = Number(what);
    // NaN fails the comparisons.
    if (!(value >= static_cast<double>(low) && value <= static_cast<double>(high)) ||
        value != std::floor(value))
      Fail(std::string(what) + ": expected an integer from " + std::to_string(low) + " to " +
           std::to_string(high) + ", got " + Show(value));
    return static_cast<int64_t>(value);
  }

 private:
  const double* code_;
  size_t length_;
  size_t position_ = 0;
  std::string context_ = "program";
};

// a · b, or kLargest when it is more than that; a, b >= 0.
int64_t CappedProduct(int64_t a, int64_t b) { return b && a > kLargest / b ? kLargest : a * b; }

void ReadOperand(Reader& reader, const ProgramLimits& limits, bool output, Operand& operand,
                 OperandPlace& place) {
  place.slot = static_cast<int>(reader.Integer("slot", -1, limits.bindings));
  if (place.slot < 0) return;
  operand.present = true;
  operand.dtype = static_cast<DType>(reader.Integer("dtype", 0, kDTypeCount - 1));
  place.byteOffset = reader.Integer("byteOffset", 0, kLargest);
  if (place.byteOffset % SizeOf(operand.dtype))
    reader.Fail("byteOffset " + std::to_string(place.byteOffset) + " is not a multiple of the " +
                std::to_string(SizeOf(operand.dtype)) + " bytes of an element");
  operand.rank = static_cast<int>(reader.Integer("rank", 0, kMaxRank));
  int64_t elements = 1;
  bool empty = false;
  for (int d = 0; d < operand.rank; ++d) {
    operand.dims[d] = place.capacityDims[d] = reader.Integer("dims", 0, kLargest);
    empty = empty || operand.dims[d] == 0;
    elements = CappedProduct(elements, std::max<int64_t>(operand.dims[d], 1));
  }
  for (int d = 0; d < operand.rank; ++d) operand.strides[d] = reader.Integer("strides", 0, kLargest);
  for (int d = 0; d < operand.rank; ++d) {
    place.rowFactors[d] = reader.Integer("rowFactors", 0, kLargest);
    if (CappedProduct(place.rowFactors[d], limits.capacity) > operand.dims[d] ||
        (place.rowFactors[d] && !limits.capacity))
      reader.Fail("a dimension of " + std::to_string(operand.dims[d]) + " cannot lose " +
                  std::to_string(place.rowFactors[d]) + " for each of " + std::to_string(limits.capacity) +
                  " rows");
    if (output && operand.strides[d] == 0 && operand.dims[d] > 1 && !empty)
      reader.Fail("an output has the stride 0 in a dimension of " + std::to_string(operand.dims[d]));
  }
  if (elements >= kLargest || Extent(operand) >= kLargest / 8) reader.Fail("the operand is too large");
}

Step ReadStep(Reader& reader, const ProgramLimits& limits) {
  Step step;
  Instruction& instruction = step.instruction;
  const auto& operations = Operations();
  reader.SetContext("program");
  const OpInfo& op = *operations[reader.Integer("op", 0, static_cast<int64_t>(operations.size()) - 1)];
  instruction.op = &op;
  reader.SetContext(op.name);
  const int64_t attributes = reader.Integer("attributeCount", 0, kMaxAttributes);
  if (attributes != op.attributes)
    reader.Fail("expected " + std::to_string(op.attributes) + " attributes, got " +
                std::to_string(attributes));
  const int64_t count = reader.Integer("operandCount", 0, int64_t{1} << 24);
  const bool fits = op.inputs < 0 ? count >= op.outputs : count == op.inputs + op.outputs;
  if (!fits)
    reader.Fail("expected " +
                (op.inputs < 0 ? "any number of inputs" : std::to_string(op.inputs) + " inputs") + " and " +
                std::to_string(op.outputs) + " outputs, got " + std::to_string(count) + " operands");
  for (int64_t i = 0; i < attributes; ++i) instruction.attributes[i] = reader.Number("an attribute");
  for (int64_t i = 0; i < count; ++i) {
    reader.SetContext(std::string(op.name) + ": operand " + std::to_string(i));
    Operand& operand = instruction.operands.emplace_back();
    ReadOperand(reader, limits, i >= count - op.outputs, operand, step.places.emplace_back());
    if (operand && operand.dtype == DType::kF64) step.reference = true;
  }
  return step;
}

}  // namespace

int64_t Extent(const Operand& operand) {
  int64_t last = 0;
  bool empty = false;
  for (int d = 0; d < operand.rank; ++d) {
    if (operand.dims[d] == 0) empty = true;
    const int64_t steps = std::max<int64_t>(operand.dims[d] - 1, 0);
    last = std::min(kLargest, last + CappedProduct(steps, operand.strides[d]));
  }
  return empty ? 0 : last + 1;
}

const std::vector<const OpInfo*>& Operations() {
  // Never destroyed: threads may outlive the destructors of static objects.
#define HEEDFUL_OP_ADDRESS(name) &k##name##Op,
  static const auto& operations = *new std::vector<const OpInfo*>{HEEDFUL_OPS(HEEDFUL_OP_ADDRESS)};
#undef HEEDFUL_OP_ADDRESS
  return operations;
}

std::vector<Step> Decode(const double* code, size_t length, const ProgramLimits& limits) {
  std::vector<Step> steps;
  Reader reader(code, length);
  while (!reader.AtEnd()) {
    // Every instruction counts as one of many here: how many there are is not known yet.
    NamingInstruction(steps.size(), steps.size() + 1, [&] { steps.push_back(ReadStep(reader, limits)); });
  }
  return steps;
}

std::vector<int64_t> SetRows(std::vector<Step>& steps, const ProgramLimits& limits, int64_t rows) {
  std::vector<int64_t> slotBytes(static_cast<size_t>(limits.bindings) + 1);
  for (size_t s = 0; s < steps.size(); ++s) {
    NamingInstruction(s, steps.size(), [&] {
      Instruction& instruction = steps[s].instruction;
      for (size_t i = 0; i < instruction.operands.size(); ++i) {
        Operand& operand = instruction.operands[i];
        const OperandPlace& place = steps[s].places[i];
        if (!operand) continue;
        for (int d = 0; d < operand.rank; ++d)
          operand.dims[d] = place.capacityDims[d] - place.rowFactors[d] * (limits.capacity - rows);
        const int64_t end = place.byteOffset + Extent(operand) * SizeOf(operand.dtype);
        if (place.slot == 0 && end > limits.arenaBytes)
          throw Error(std::string(instruction.op->name) + ": operand " + std::to_string(i) +
                      " ends at byte " + std::to_string(end) + " of an arena of " +
                      std::to_string(limits.arenaBytes));
        slotBytes[place.slot] = std::max(slotBytes[place.slot], end);
      }
      instruction.op->check(instruction);
    });
  }
  return slotBytes;
}

}  // namespace heedful
