// Embedding lookup and its gradient.
#pragma once

#include "kernels/reference/strided.h"

namespace heedful::reference {

// y[…, d] = table[ids[…], d]
template <class T>
void Embedding(View<T> table, View<int32_t> ids, View<T> y) {
  ForEach(y.dims, [&](const Indices& i) { y(i) = table({ids(Indices(i.begin(), i.end() - 1)), i.back()}); });
}

// dTable[v, d] = base[v, d] + Σ dy[…, d] over the positions where ids = v, nothing for v = paddingIndex. base
// may be absent (0), or dTable.
template <class T>
void EmbeddingGradient(View<int32_t> ids, View<T> dy, View<T> base, View<T> d_table, int64_t padding_index) {
  ForEach(d_table.dims, [&](const Indices& i) { d_table(i) = base.data ? base(i) : T(0); });
  ForEach(dy.dims, [&](const Indices& i) {
    const int32_t v = ids(Indices(i.begin(), i.end() - 1));
    if (v != padding_index) d_table({v, i.back()}) += dy(i);
  });
}

// rows[slots[v], d] = Σ dy[…, d] over the positions where ids = v, nothing for slots below 0; other rows are
// zero.
template <class T>
void EmbeddingRows(View<int32_t> ids, View<T> dy, View<T> rows, const int32_t* slots) {
  ForEach(rows.dims, [&](const Indices& i) { rows(i) = T(0); });
  ForEach(dy.dims, [&](const Indices& i) {
    const int32_t slot = slots[ids(Indices(i.begin(), i.end() - 1))];
    if (slot >= 0) rows({slot, i.back()}) += dy(i);
  });
}

}  // namespace heedful::reference
