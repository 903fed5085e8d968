// How the f64 loops of Attention and AttentionGradient see an instruction.
#pragma once

#include <vector>

#include "kernels/bf16.h"
#include "kernels/reference/attention.h"
#include "ops/attention_shape.h"
#include "ops/row_angles.h"

namespace heedful {

// Heads of f64 as they are multiplied: turned by `angles` where there are some, then, where the instruction
// rounds, in bfloat16.
class ReferenceHeads {
 public:
  ReferenceHeads(const Instruction& in, const Operand& x, const Operand& angles = {},
                 bool interleaved = false)
      : view_(ViewHeads<double>(x)) {
    const bool rounds = in.attributes[kRounds] == 1;
    if (!rounds && !angles) return;
    copy_.resize(x.Size());
    const int64_t* const d = view_.dims;
    const reference::View4<double> given = view_;
    view_ = {copy_.data(), {d[0], d[1], d[2], d[3]}, {d[1] * d[2] * d[3], d[2] * d[3], d[3], 1}};
    if (angles) {
      TurnHeads(angles, interleaved, false, given, view_);
    } else {
      reference::CopyHeads(given, view_);
    }
    if (!rounds) return;
    for (double& element : copy_) element = Widen(RoundToBf16(element));
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
