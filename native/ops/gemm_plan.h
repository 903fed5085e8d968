// How a matrix product is cut into blocks: what is packed, what is read in place, what each worker takes.
#pragma once

#include "ops/gemm.h"
#include "ops/panels.h"

namespace heedful {

inline int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t RoundUp(int64_t a, int64_t b) { return CeilDiv(a, b) * b; }
// Where part `index` of `parts` even ones of [0, n) begins.
inline int64_t PartBegin(int64_t n, int64_t parts, int64_t index) { return n * index / parts; }

constexpr int64_t kPanelFloats = 128 * 1024;  // packed B of one worker, half of the second-level cache
constexpr int64_t kBlockFloats = 104 * 1024;  // A copied to padded rows; as much again for a transposed C
constexpr int64_t kRowPadding = 16;           // a cache line: consecutive rows fall into consecutive sets
static_assert(kRowPadding >= kRowTail);
constexpr int64_t kBlockElements = 32;  // of k, the most that a step has
constexpr int64_t kDepthStep = 16;      // blocks of k begin at multiples, so that packing moves whole vectors
constexpr int64_t kStreamRows = 8;      // up to here the time is that of reading B

// The product as the micro-kernel sees it: rows are those of A, or of Bᵀ when `transposed`; columns those of
// B or Aᵀ.
struct GemmView {
  const float *rows, *columns;
  int64_t row_stride, row_k, column_stride, column_k;
};
GemmView MakeGemmView(const Gemm& g, bool transposed);

struct GemmPlan {
  bool transposed;                  // Cᵀ = Bᵀ·Aᵀ
  bool in_place;                    // whole vectors of B are read where they lie
  bool copy_rows;                   // rows of A are copied, padded, converted, rounded
  int64_t rows, columns;            // of the view
  int64_t mr, nr;                   // of a tile, at most
  int64_t steps;                    // of the micro-kernel over all of k: words of a packed B, elements else
  int64_t elements, row_floats;     // of k in a step; of a row as it is read
  int64_t panel_words, lines;       // of a packed B: a panel; prefetches in a step
  int64_t depth, depth_blocks;      // a block of steps, and how many
  int64_t panel;                    // columns that one item takes together
  bool stream;                      // the whole of k for a panel, then the next: B is read in order
  int64_t columns_at_once;          // with a gate: so many of G, then of B; else all
  int64_t group;                    // panels that are packed together
  int64_t column_parts, row_parts;  // items: parts of the panels × parts of the rows
};

// Rows of so many floats are worked on in so many even blocks, each of which stays in the second-level cache.
int64_t RowBlocks(int64_t rows, int64_t floats);

// The plan that takes the fewest seconds on the busiest of `threads` workers, for `count` such products.
GemmPlan PlanGemm(const Gemm& g, const KernelTable& table, int64_t count, int threads);

}  // namespace heedful
