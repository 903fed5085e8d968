// What happens to a finished tile of the matrix product: GemmEpilogue of kernel_table.h.

// A block of C at most this large goes through the activation at once, rows laid end to end: one call, one
// tail.
constexpr int kEpilogueSize = 1024;

// c += bias, and c itself to `block`, `columns` apart.
inline void EpilogueGather(const float* bias, const float* c, int64_t c_row, int rows, int columns,
                           float* block) {
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; j += Vec::kLanes) {
      const int n = columns - j < Vec::kLanes ? columns - j : Vec::kLanes;
      const Vec x = LoadPartial(c + i * c_row + j, n);
      Store(block + i * columns + j, bias ? x + LoadPartial(bias + j, n) : x);
    }
  }
}

inline void EpilogueScatter(const float* block, float* c, int64_t c_row, int rows, int columns) {
  for (int i = 0; i < rows; ++i) {
    int j = 0;
    for (; j + Vec::kLanes <= columns; j += Vec::kLanes)
      Store(c + i * c_row + j, Load(block + i * columns + j));
    if (j < columns) StorePartial(c + i * c_row + j, Load(block + i * columns + j), columns - j);
  }
}

// c += bias (nullptr: 0), then *= aux where there is one.
template <bool kAux>
inline void EpilogueBias(const GemmEpilogue& e, float* c, int64_t c_row, int rows, int columns) {
  for (int j = 0; j < columns; j += Vec::kLanes) {
    const int n = columns - j < Vec::kLanes ? columns - j : Vec::kLanes;
    const Vec shift = e.bias ? LoadPartial(e.bias + j, n) : Zero();
    for (int i = 0; i < rows; ++i) {
      float* p = c + i * c_row + j;
      const float* aux = kAux ? e.aux + i * e.aux_row + j : nullptr;
      if (n == Vec::kLanes) {
        const Vec x = Load(p) + shift;
        Store(p, kAux ? x * Load(aux) : x);
      } else {
        const Vec x = LoadPartial(p, n) + shift;
        StorePartial(p, kAux ? x * LoadPartial(aux, n) : x, n);
      }
    }
  }
}

void GemmEpilogueKernel(const GemmEpilogue& e, float* c, int64_t c_row, int rows, int columns) {
  if (e.combine == GemmCombine::product) return EpilogueBias<true>(e, c, c_row, rows, columns);
  if (e.function == Unary::identity && e.combine == GemmCombine::none && !e.pre_activation) {
    if (e.bias) EpilogueBias<false>(e, c, c_row, rows, columns);
    return;
  }
  const int function = static_cast<int>(e.function);
  if (e.combine == GemmCombine::none && !e.pre_activation && c_row == columns) {
    if (e.bias) EpilogueBias<false>(e, c, c_row, rows, columns);
    return kElementwiseKernels.unary[function](c, c, int64_t{1} * rows * columns);
  }
  // The last row's last vector may reach beyond the block's end.
  alignas(64) float block[kEpilogueSize + Vec::kLanes], aux[kEpilogueSize + Vec::kLanes];
  const int column_step = columns < kEpilogueSize ? columns : kEpilogueSize,
            row_step = kEpilogueSize / column_step;
  for (int j = 0; j < columns; j += column_step) {
    const int n = columns - j < column_step ? columns - j : column_step;
    const float* bias = e.bias ? e.bias + j : nullptr;
    for (int i = 0; i < rows; i += row_step) {
      const int m = rows - i < row_step ? rows - i : row_step;
      float* tile = c + i * c_row + j;
      EpilogueGather(bias, tile, c_row, m, n, block);
      if (e.combine == GemmCombine::gradient) {
        EpilogueGather(nullptr, e.aux + i * e.aux_row + j, e.aux_row, m, n, aux);
        kElementwiseKernels.unary_gradient[function](aux, block, block, m * n);
      } else {
        if (e.pre_activation) {
          EpilogueScatter(block, e.pre_activation + i * e.pre_activation_row + j, e.pre_activation_row, m, n);
        }
        kElementwiseKernels.unary[function](block, block, m * n);
      }
      EpilogueScatter(block, tile, c_row, m, n);
    }
  }
}
