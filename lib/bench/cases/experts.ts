import { mixtureOfExperts } from '../../ops/mixture-of-experts.ts'
import { softmax } from '../../ops/softmax.ts'
import { bytesOf, floats, type Example, type Family } from '../case.ts'

const example = (name: string, sizes: readonly number[], quick = false): Example => ({ name, sizes, quick })

/** Of those that many rows choose at random, about this many are read. */
const expertsRead = (rows: number, experts: number, topK: number): number =>
  experts * (1 - (1 - topK / experts) ** rows)

export const expertFamilies: readonly Family[] = [
  {
    op: 'mixtureOfExperts',
    instruction: 'mixtureOfExperts',
    dimensions: ['tokens', 'hidden', 'experts', 'inner', 'topK'],
    examples: [
      example('8 experts, 2 of them, 128 tokens', [128, 768, 8, 1536, 2], true),
      example('the same, 1 token', [1, 768, 8, 1536, 2]),
    ],
    subject: (rows, hidden, experts, inner, topK) => ({
      work: {
        flops: 6 * rows! * topK! * hidden! * inner!,
        read: bytesOf(rows!, hidden!) + expertsRead(rows!, experts!, topK!) * bytesOf(3, hidden!, inner!),
        written: bytesOf(rows!, hidden!),
      },
      inputs: {
        x: floats(rows!, hidden!),
        scores: floats(rows!, experts!),
        gateUp: floats(experts!, 2 * inner!, hidden!),
        down: floats(experts!, hidden!, inner!),
      },
      run: ({ x, scores, gateUp, down }) => mixtureOfExperts(x!, softmax(scores!), gateUp!, down!, { topK: topK! }),
    }),
  },
]
