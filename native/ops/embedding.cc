// embedding: y[…, d] = table[ids[…], d].
// embeddingGradient: dTable[v, d] = base[v, d] + Σ dy[…, d] over the positions where ids = v, in the order of
//   positions; nothing is added to row paddingIndex (−1: no such row). base absent: 0.
//
// embeddingRows: the same gradient without the rows that are zero. rows[slots[v], d] = Σ dy[…, d] over the
//   positions where ids = v, in their order; slots[v] counts the rows of the table that ids name from 0 on,
//   in the order in which they come, and is −1 for those that have no gradient. Rows that are left over are
//   zero.
//
// rows [positions, D]; slots i32 [V]; table, base, dTable [V, D]; ids i32 of any shape; y, dy ids.shape +
// [D]; f32 or f64. Layouts: table, base, dTable: the last dimension contiguous, the other arbitrary; ids, y,
// dy, rows, slots contiguous. dTable may be base, with the same strides: then only the rows that ids name are
// touched. Otherwise no overlaps. Errors: an id outside [0, V), before anything is written.
#include "kernels/reference/embedding.h"

#include <cmath>
#include <cstring>

#include "ops/chunks.h"
#include "ops/op_list.h"
#include "ops/operands.h"
#include "ops/rows.h"

namespace heedful {
namespace {

void CheckCommon(const OperandCheck& check, const char* table_name, const Operand& table, const Operand& ids,
                 const char* y_name, const Operand& y) {
  check.Float(table_name, table);
  check.Int("ids", ids);
  check.Float(y_name, y);
  check.Require(table.rank == 2,
                std::string(table_name) + " must have the shape [rows, columns], not " + ShapeText(table));
  check.Rows(table_name, table);
  check.Contiguous("ids", ids);
  check.Contiguous(y_name, y);
  Operand wanted = ids;
  check.Require(ids.rank < kMaxRank, "ids have too many dimensions");
  wanted.dims[wanted.rank++] = table.dims[1];
  check.Shape(y_name, y, wanted);
}

void Check(const Instruction& in) {
  CheckCommon(OperandCheck("embedding", in[2].dtype), "table", in[0], in[1], "y", in[2]);
}

void CheckPadding(const OperandCheck& check, const Instruction& in) {
  const double padding = in.attributes[0];
  check.Require(padding >= -1 && padding <= INT32_MAX && padding == std::floor(padding),
                "paddingIndex must be a row, or -1 for none, not " + std::to_string(padding));
}

void CheckGradient(const Instruction& in) {
  const OperandCheck check("embeddingGradient", in[3].dtype);
  CheckCommon(check, "dTable", in[3], in[0], "dy", in[1]);
  check.Output("dTable", in[3]);
  if (in[2]) {
    check.Float("base", in[2]);
    check.Shape("base", in[2], in[3]);
    check.Rows("base", in[2]);
  }
  CheckPadding(check, in);
}

void CheckRows(const Instruction& in) {
  const Operand &ids = in[0], &dy = in[1], &rows = in[2], &slots = in[3];
  const OperandCheck check("embeddingRows", rows.dtype);
  check.Float("rows", rows);
  check.Require(rows.rank == 2 && rows.dims[0] == ids.Size(),
                "rows must have the shape [positions, columns], not " + ShapeText(rows));
  check.Contiguous("rows", rows);
  check.Int("slots", slots);
  check.Require(slots.rank == 1, "slots must have the shape [rows of the table], not " + ShapeText(slots));
  check.Contiguous("slots", slots);
  Operand table = rows;
  CheckCommon(check, "rows", table, ids, "dy", dy);
  CheckPadding(check, in);
}

void CheckIds(const char* op, const Operand& ids, int64_t rows) {
  const int32_t* id = ids.As<int32_t>();
  for (int64_t i = 0, n = ids.Size(); i < n; ++i) {
    HEEDFUL_CHECK(id[i] >= 0 && id[i] < rows,
                  std::string(op) + ": id " + std::to_string(id[i]) + " at position " + IndexText(ids, i) +
                      " is not a row of the table: expected 0 to " + std::to_string(rows - 1));
  }
}

void Run(const Instruction& in, Context& context) {
  const int64_t columns = in[0].dims[1];
  CheckIds("embedding", in[1], in[0].dims[0]);
  const RowPointers<> table(in[0]);
  const int32_t* ids = in[1].As<int32_t>();
  float* y = in[2].As<float>();
  ForChunks(context, in[1].Size(), columns, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      std::memcpy(y + i * columns, table[ids[i]], sizeof(float) * static_cast<size_t>(columns));
    }
  });
}

// Columns of one task: wide enough for whole cache lines and few enough that all threads get some.
constexpr int64_t kColumns = 128;

void RunGradient(const Instruction& in, Context& context) {
  const int64_t rows = in[3].dims[0], columns = in[3].dims[1], tokens = in[0].Size();
  CheckIds("embeddingGradient", in[0], rows);
  const RowPointers<> base(in[2]), d_table(in[3]);
  const int32_t* ids = in[0].As<int32_t>();
  const float* dy = in[1].As<float>();
  const int64_t padding = static_cast<int64_t>(in.attributes[0]);
  if (!in[2] || in[2].data != in[3].data) {
    const bool far = rows * columns * SizeOf(DType::kF32) >= kFarBytes, whole = in[3].Contiguous();
    ForChunks(context, rows, columns, [&](int64_t begin, int64_t end) {
      if (!in[2] && whole) return context.kernels.copy.fill(0, d_table[begin], (end - begin) * columns, far);
      for (int64_t v = begin; v < end; ++v) {
        if (in[2]) {
          std::copy_n(base[v], columns, d_table[v]);
        } else {
          std::fill_n(d_table[v], columns, 0.0f);
        }
      }
    });
  }
  ForTasks(context, CeilDiv(columns, kColumns), tokens * columns, [&](int64_t task) {
    const int64_t begin = task * kColumns, count = std::min(kColumns, columns - begin);
    for (int64_t i = 0; i < tokens; ++i) {
      if (ids[i] == padding) continue;
      context.kernels.rows.accumulate(dy + i * columns + begin, d_table[ids[i]] + begin, count);
    }
  });
}

// Gives every row of the table that ids name its slot; returns how many there are.
int32_t AssignSlots(const Instruction& in) {
  const int64_t table_rows = in[3].dims[0], positions = in[0].Size();
  CheckIds("embeddingRows", in[0], table_rows);
  const int32_t* ids = in[0].As<int32_t>();
  int32_t* slots = in[3].As<int32_t>();
  const int32_t padding = static_cast<int32_t>(in.attributes[0]);
  std::fill_n(slots, table_rows, -1);
  int32_t next = 0;
  for (int64_t i = 0; i < positions; ++i) {
    if (ids[i] != padding && slots[ids[i]] < 0) slots[ids[i]] = next++;
  }
  return next;
}

void RunRows(const Instruction& in, Context& context) {
  const int64_t positions = in[0].Size(), columns = in[2].dims[1], used = AssignSlots(in);
  const int32_t *ids = in[0].As<int32_t>(), *slots = in[3].As<int32_t>();
  const float* dy = in[1].As<float>();
  float* rows = in[2].As<float>();
  std::fill_n(rows + used * columns, (positions - used) * columns, 0.0f);
  ForTasks(context, CeilDiv(columns, kColumns), positions * columns, [&](int64_t task) {
    const int64_t begin = task * kColumns, count = std::min(kColumns, columns - begin);
    int32_t next = 0;
    for (int64_t i = 0; i < positions; ++i) {
      const int32_t slot = slots[ids[i]];
      if (slot < 0) continue;
      const float* from = dy + i * columns + begin;
      float* to = rows + slot * columns + begin;
      if (slot == next) {
        std::copy_n(from, count, to);
        ++next;
      } else {
        context.kernels.rows.accumulate(from, to, count);
      }
    }
  });
}

void ReferenceRows(const Instruction& in) {
  AssignSlots(in);
  reference::EmbeddingRows(ReferenceView<int32_t>(in[0]), ReferenceView<double>(in[1]),
                           ReferenceView<double>(in[2]), in[3].As<int32_t>());
}

void Reference(const Instruction& in) {
  CheckIds("embedding", in[1], in[0].dims[0]);
  reference::Embedding(ReferenceView<double>(in[0]), ReferenceView<int32_t>(in[1]),
                       ReferenceView<double>(in[2]));
}

void ReferenceGradient(const Instruction& in) {
  CheckIds("embeddingGradient", in[0], in[3].dims[0]);
  reference::EmbeddingGradient(ReferenceView<int32_t>(in[0]), ReferenceView<double>(in[1]),
                               ReferenceView<double>(in[2]), ReferenceView<double>(in[3]),
                               static_cast<int64_t>(in.attributes[0]));
}

}  // namespace

const OpInfo kEmbeddingRowsOp = {"embeddingRows", 2, 2, 1, CheckRows, NoWorkspace, RunRows, ReferenceRows};
const OpInfo kEmbeddingOp = {"embedding", 2, 1, 0, Check, NoWorkspace, Run, Reference};
const OpInfo kEmbeddingGradientOp = {"embeddingGradient", 3,           1,           1,
                                     CheckGradient,       NoWorkspace, RunGradient, ReferenceGradient};

}  // namespace heedful
