// One instruction of a program: an operation, its numeric attributes and its operands.
//
// An operand is a strided view of memory: element (i0, i1, …) lies at data + Σ i_d · strides[d], in elements.
// A stride of 0 broadcasts. Inputs come first, outputs follow; an optional operand that is not given is
// absent.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/kernel_table.h"
#include "runtime/check.h"
#include "runtime/thread_pool.h"

namespace heedful {

// bf16 is a format of storage: what takes it says so.
enum class DType : uint8_t { kF32, kF64, kI32, kBF16 };
constexpr int kDTypeCount = 4;
constexpr int64_t SizeOf(DType dtype) { return dtype == DType::kF64 ? 8 : dtype == DType::kBF16 ? 2 : 4; }

constexpr int kMaxRank = 6;
constexpr int kMaxAttributes = 8;

struct Operand {
  void* data = nullptr;  // set before every run; nullptr: absent
  DType dtype = DType::kF32;
  int rank = 0;
  bool present = false;  // known when the program is built, before data is
  int64_t dims[kMaxRank] = {};
  int64_t strides[kMaxRank] = {};

  template <class T>
  T* As() const {
    return static_cast<T*>(data);
  }
  explicit operator bool() const { return present; }

  // dims[rank - 1 - i]; 1 beyond the rank, so that a missing leading dimension reads as a broadcast one.
  int64_t DimFromEnd(int i) const { return i < rank ? dims[rank - 1 - i] : 1; }
  int64_t StrideFromEnd(int i) const { return i < rank ? strides[rank - 1 - i] : 0; }

  int64_t Size() const {
    int64_t n = 1;
    for (int d = 0; d < rank; ++d) n *= dims[d];
    return n;
  }
  // Row-major without gaps (dimensions of size 1 may have any stride).
  bool Contiguous() const {
    int64_t expected = 1;
    for (int d = rank - 1; d >= 0; --d) {
      if (dims[d] != 1 && strides[d] != expected) return false;
      expected *= dims[d];
    }
    return true;
  }
  // Seen as `Rows()` rows of `Columns()` elements, the last dimension being a row.
  int64_t Columns() const { return rank ? dims[rank - 1] : 1; }
  int64_t Rows() const { return Columns() ? Size() / Columns() : 0; }
};

struct OpInfo;

struct Instruction {
  const OpInfo* op = nullptr;
  double attributes[kMaxAttributes] = {};
  std::vector<Operand> operands;

  const Operand& operator[](size_t i) const { return operands[i]; }
};

// What a driver may use while it runs.
struct Context {
  const KernelTable& kernels;
  ThreadPool& pool;
  std::byte* workspace;  // OpInfo::workspace() bytes, 64-byte aligned
  const std::atomic<bool>& aborted;

  int threads() const { return pool.threads(); }

  // Calls fn(index, worker) once for every index in [0, count), on any worker in [0, threads()), in any
  // order. After an abort the rest is skipped. Results must not depend on which worker does what.
  template <class F>
  void Parallel(int64_t count, F&& fn) const {
    pool.Parallel(count, [&](int64_t index, int worker) {
      if (!aborted.load(std::memory_order_relaxed)) fn(index, worker);
    });
  }
};

// One entry of the list of operations (op_list.h).
struct OpInfo {
  const char* name;
  int inputs;   // operands that are read, optional ones included; -1: any number (all but the outputs)
  int outputs;  // operands that are written (or updated in place), optional ones included
  int attributes;
  // Throws Error unless every shape, stride and dtype is one that `run` handles without touching memory
  // outside its operands. The data of operands is not there yet. Runs once when the program is built.
  void (*check)(const Instruction&);
  // Bytes of Context::workspace that `run` needs at most, whichever of AvailableKernels() is chosen.
  size_t (*workspace)(const Instruction&, int threads);
  // f32: blocks, splits work over the pool, calls kernels. Throws Error for bad data (an index out of range).
  void (*run)(const Instruction&, Context&);
  // The same by plain loops in double, from kernels/reference: taken when the operands are f64.
  void (*reference)(const Instruction&);
  // Integers that are read are numbers or packed words: nothing is looked up by them, so that they need not
  // be kept from changing while it runs.
  bool integers_are_data = false;
};

}  // namespace heedful
