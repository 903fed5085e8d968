import { multiply } from '../../ops/elementwise.ts'
import { grad } from '../../ops/gradients.ts'
import { mixtureOfExperts } from '../../ops/mixture-of-experts.ts'
import { sum } from '../../ops/reduce.ts'
import { softmax } from '../../ops/softmax.ts'
import { bytesOf, floats, type Example, type Family, type Input } from '../case.ts'

const example = (name: string, sizes: readonly number[], quick = false): Example => ({ name, sizes, quick })

/** Of those that many rows choose at random, about this many are read. */
const expertsRead = (rows: number, experts: number, topK: number): number =>
  experts * (1 - (1 - topK / experts) ** rows)

const dimensions = ['tokens', 'hidden', 'experts', 'inner', 'topK']

const inputs = (rows: number, hidden: number, experts: number, inner: number): Record<string, Input> => ({
  x: floats(rows, hidden),
  scores: floats(rows, experts),
  gateUp: floats(experts, 2 * inner, hidden),
  down: floats(experts, hidden, inner),
})

export const expertFamilies: readonly Family[] = [
  {
    op: 'mixtureOfExperts',
    instruction: 'mixtureOfExperts',
    dimensions,
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
      inputs: inputs(rows!, hidden!, experts!, inner!),
      run: ({ x, scores, gateUp, down }) => mixtureOfExperts(x!, softmax(scores!), gateUp!, down!, { topK: topK! }),
    }),
  },
  {
    op: 'mixtureOfExperts',
    variant: 'backward',
    instruction: 'mixtureOfExpertsGradient',
    dimensions,
    examples: [example('8 experts, 2 of them, 512 tokens', [512, 512, 8, 1024, 2])],
    subject: (rows, hidden, experts, inner, topK) => ({
      // The projections once more, and two products for each of the three.
      work: {
        flops: 16 * rows! * topK! * hidden! * inner!,
        read: 2 * bytesOf(rows!, hidden!) + expertsRead(rows!, experts!, topK!) * bytesOf(3, hidden!, inner!),
        written: bytesOf(rows!, hidden!) + bytesOf(experts!, 3, hidden!, inner!),
      },
      inputs: { ...inputs(rows!, hidden!, experts!, inner!), gradient: floats(rows!, hidden!) },
      run: ({ x, scores, gateUp, down, gradient }) =>
        grad(
          () => sum(multiply(mixtureOfExperts(x!, softmax(scores!), gateUp!, down!, { topK: topK! }), gradient!)),
          x!,
        )({}),
    }),
  },
]
