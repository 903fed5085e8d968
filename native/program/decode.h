// From the numbers that TypeScript wrote (lib/native/native.ts) to instructions that are safe to run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ops/instruction.h"

namespace heedful {

// Where an operand lies and how it shrinks with the rows.
struct OperandPlace {
  int slot = -1;  // -1: absent
  int64_t byteOffset = 0;
  int64_t capacityDims[kMaxRank] = {};
  int64_t rowFactors[kMaxRank] = {};
};

struct Step {
  Instruction instruction;           // dims for the rows that were set last; data is set for every run
  std::vector<OperandPlace> places;  // of instruction.operands
  bool reference = false;            // some floating operand is f64
};

struct ProgramLimits {
  int64_t arenaBytes;  // size of slot 0
  int bindings;        // slots 1 … bindings
  int64_t capacity;    // 0: no symbolic rows
};

// Elements from the first to behind the last one that an operand with these dims may touch; 0 when it has
// none.
int64_t Extent(const Operand& operand);

// Throws Error unless each number is what its place demands: counts, ranges, whole numbers, alignment of
// offsets, strides >= 0, extents without overflow, no output that writes one element twice by a stride of 0.
// Then sets the rows to the capacity.
std::vector<Step> Decode(const double* code, size_t length, const ProgramLimits& limits);

// Makes every dimension what it is with `rows` rows (0 … capacity), runs OpInfo::check again, and returns for
// every slot the bytes that its operands may touch. Throws Error when a check refuses, or the arena is too
// small.
std::vector<int64_t> SetRows(std::vector<Step>& steps, const ProgramLimits& limits, int64_t rows);

// Runs `body` and puts the number of the instruction before the message of an Error; not for the only one.
template <class F>
void NamingInstruction(size_t index, size_t count, F&& body) {
  try {
    body();
  } catch (const Error& error) {
    if (count <= 1) throw;
    throw Error("instruction " + std::to_string(index) + ": " + error.what());
  }
}

// The list of operations, in the order of op_list.h.
const std::vector<const OpInfo*>& Operations();

}  // namespace heedful
