// How the f64 loops of Attention and AttentionGradient see an instruction.
#pragma once

#include <vector>

#include "kernels/bf16.h"
#include "kernels/reference/attention.h"
#include "ops/attention_shape.h"

namespace heedful {

// Heads of f64 as they are multiplied: where the instruction rounds, a copy in bfloat16.
class ReferenceHeads {
 public:
  ReferenceHeads(const Instruction& in, const Operand& x) : view_(ViewHeads<double>(x)) {
    if (in.attributes[kRounds] != 1) return;
    copy_.reserve(x.Size());
    const int64_t* const d = view_.dims;
    for (int64_t b = 0; b < d[0]; ++b) {
      for (int64_t h = 0; h < d[1]; ++h) {
        for (int64_t t = 0; t < d[2]; ++t) {
          for (int64_t e = 0; e < d[3]; ++e) copy_.push_back(Widen(RoundToBf16(view_(b, h, t, e))));
        }
      }
    }
    view_ = {copy_.data(), {d[0], d[1], d[2], d[3]}, {d[1] * d[2] * d[3], d[2] * d[3], d[3], 1}};
  }
  ReferenceHeads(const ReferenceHeads&) = delete;
  ReferenceHeads& operator=(const ReferenceHeads&) = delete;

  const reference::View4<double>& View() const { return view_; }

 private:
  std::vector<double> copy_;
  reference::View4<double> view_;
};

// What is said in operands of f64, by numbers of rows.
inline reference::AttentionProblem<double> ReferenceProblem(const Instruction& in, const ReferenceHeads& q,
                                                            const ReferenceHeads& k, const ReferenceHeads& v,
                                                            const AttentionExtras& extras) {
  return {q.View(),
          k.View(),
          v.View(),
          ViewHeadsIf<double>(extras.bias),
          ReferenceView<double>(extras.slopes),
          in.attributes[kScale],
          in.attributes[kSoftcap]};
}

template <class F>
void ForSequences(const Instruction& in, const AttentionExtras& extras, const SequenceList& list, F&& fn) {
  for (int64_t s = 0; s < list.Count(); ++s) {
    const Sequence x = list[s];
    const AttentionScores scores = ScoresOf(in, extras, x, 0, 0);
    fn(reference::AttentionSequence{x.batch, x.query, x.queries, x.key, x.keys, scores.position, scores.left,
                                    scores.right});
  }
}

}  // namespace heedful
