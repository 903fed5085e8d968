// packRows:       panels = the matrix (k, n) whose column j is row j of a file, in the very format of the
// file. packedColumns:  y[…, i] = element (i, ids[…]) of the matrix (k, n) that panels hold.
//
// rows: n rows of FileRowBytes(format, k) bytes one after another, as i32 words, the last one filled up;
// contiguous. panels: those of panels.cc. ids i32 of any shape, y ids.shape + [k], f32 or f64; contiguous.
// No number is rounded. Errors: an id outside [0, n), before anything is written.
#include <vector>

#include "ops/chunks.h"
#include "ops/op_list.h"
#include "ops/operands.h"
#include "ops/panel_words.h"

namespace heedful {
namespace {

PanelFormat FormatOf(const Instruction& in) {
  return static_cast<PanelFormat>(static_cast<int>(in.attributes[0]));
}

// A size among the attributes, which are whatever JavaScript says.
int64_t SizeAttribute(const OperandCheck& check, const char* name, double value) {
  constexpr double kMost = int64_t{1} << 40;
  check.Require(value >= 0 && value <= kMost && value == static_cast<double>(static_cast<int64_t>(value)),
                std::string(name) + " must be a size, not " + std::to_string(value));
  return static_cast<int64_t>(value);
}

void CheckPackRows(const Instruction& in) {
  const OperandCheck check("packRows", DType::kF32);
  const int64_t k = SizeAttribute(check, "k", in.attributes[1]);
  const int64_t n = SizeAttribute(check, "n", in.attributes[2]);
  const PanelFormat format = CheckPanels("packRows", in[1], in.attributes[0], k, n);
  check.Require(format != PanelFormat::int8, "int8 has no rows in files");
  check.Require((format != PanelFormat::q8_0 && format != PanelFormat::q4_0) || k % kBlockSize == 0,
                "rows of blocks must have a multiple of 32 numbers, not " + std::to_string(k));
  check.Int("rows", in[0]);
  check.Vector("rows", in[0], CeilDiv(n * FileRowBytes(format, k), 4));
}

void PackPanelOf(const Instruction& in, int64_t panel) {
  const PanelFormat format = FormatOf(in);
  const int64_t k = static_cast<int64_t>(in.attributes[1]), n = static_cast<int64_t>(in.attributes[2]);
  const int64_t first = panel * kPanelColumns;
  PackFileRows(format, in[0].As<uint8_t>() + first * FileRowBytes(format, k),
               std::min<int64_t>(kPanelColumns, n - first), k,
               in[1].As<uint32_t>() + panel * PanelWords(format, k));
}

void RunPackRows(const Instruction& in, Context& context) {
  context.Parallel(in[1].dims[0], [&](int64_t panel, int) { PackPanelOf(in, panel); });
}

void ReferencePackRows(const Instruction& in) {
  for (int64_t panel = 0; panel < in[1].dims[0]; ++panel) PackPanelOf(in, panel);
}

void CheckPackedColumns(const Instruction& in) {
  const Operand &panels = in[0], &ids = in[1], &y = in[2];
  const OperandCheck check("packedColumns", y.dtype);
  check.Int("ids", ids);
  check.Contiguous("ids", ids);
  check.Float("y", y);
  check.Contiguous("y", y);
  check.Require(y.rank == ids.rank + 1, "y must have one dimension more than ids, not " + ShapeText(y));
  Operand wanted = ids;
  wanted.dims[wanted.rank++] = y.dims[y.rank - 1];
  check.Shape("y", y, wanted);
  CheckPanels("packedColumns", panels, in.attributes[0], y.dims[y.rank - 1],
              SizeAttribute(check, "n", in.attributes[1]));
}

// Copies the ids, so that JavaScript can't change them between the check and their use.
void CheckedIds(const Instruction& in, int32_t* ids) {
  const int64_t n = static_cast<int64_t>(in.attributes[1]);
  for (int64_t i = 0; i < in[1].Size(); ++i) {
    ids[i] = in[1].As<const volatile int32_t>()[i];
    HEEDFUL_CHECK(ids[i] >= 0 && ids[i] < n,
                  "embedding: id " + std::to_string(ids[i]) + " at position " + IndexText(in[1], i) +
                      " is not a row of the table: expected 0 to " + std::to_string(n - 1));
  }
}

size_t IdsWorkspace(const Instruction& in, int) {
  return static_cast<size_t>(in[1].Size()) * sizeof(int32_t);
}

void Column(const Instruction& in, int32_t id, int64_t k, float* y) {
  const PanelFormat format = FormatOf(in);
  UnpackColumn(format, in[0].As<uint32_t>() + id / kPanelColumns * PanelWords(format, k), k,
               id % kPanelColumns, y);
}

void RunPackedColumns(const Instruction& in, Context& context) {
  auto* ids = reinterpret_cast<int32_t*>(context.workspace);
  CheckedIds(in, ids);
  const int64_t k = in[2].Columns();
  float* y = in[2].As<float>();
  ForChunks(context, in[1].Size(), k, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) Column(in, ids[i], k, y + i * k);
  });
}

void ReferencePackedColumns(const Instruction& in) {
  std::vector<int32_t> ids(in[1].Size());
  CheckedIds(in, ids.data());
  const int64_t k = in[2].Columns();
  double* y = in[2].As<double>();
  std::vector<float> numbers(k);
  for (const int32_t id : ids) {
    Column(in, id, k, numbers.data());
    y = std::copy_n(numbers.begin(), k, y);
  }
}

}  // namespace

const OpInfo kPackRowsOp = {
    .name = "packRows",
    .inputs = 1,
    .outputs = 1,
    .attributes = 3,
    .check = CheckPackRows,
    .workspace = NoWorkspace,
    .run = RunPackRows,
    .reference = ReferencePackRows,
    .integers_are_data = true,
};

const OpInfo kPackedColumnsOp = {
    .name = "packedColumns",
    .inputs = 2,
    .outputs = 1,
    .attributes = 2,
    .check = CheckPackedColumns,
    .workspace = IdsWorkspace,
    .run = RunPackedColumns,
    .reference = ReferencePackedColumns,
    // The panels are; the ids are copied here.
    .integers_are_data = true,
};

}  // namespace heedful
