import { expect, it } from 'vitest'
import { compile, ops, tensor, valueAndGrad, type Tensor } from '../../lib/index.ts'
import { Random } from '../../lib/tensor/random.ts'
import { deviation } from '../reference/deviation.ts'

/*
 * Programs of random operations on square matrices, whose values are used again at random: whatever the rewrites and
 * the memory plan make of them, they give what the operations give one by one, and their gradients those of f64.
 */
const size = 6
type Step = (a: Tensor, b: Tensor, random: Random) => Tensor
const vector = (x: Tensor): Tensor => ops.mean(x, { axis: 0 })

const steps: readonly Step[] = [
  (a, b) => ops.add(a, b),
  (a, b) => ops.add(ops.matmul(a, b), vector(a)),
  (a, b) => ops.tanh(ops.add(vector(b), ops.matmul(a, b))),
  (a, b) => ops.gelu(ops.matmul(a, b)),
  (a, b) => ops.tanh(ops.matmul(ops.transpose(a), b)),
  (a, b) => ops.transpose(ops.tanh(ops.matmul(a, b))),
  (a, b) => ops.layerNorm(ops.add(a, b), vector(a), vector(b)),
  (a, b) => ops.add(a, ops.rmsNorm(b, vector(b), { epsilon: 0.1 })),
  (a, b) => ops.rmsNorm(ops.add(a, ops.tanh(b)), vector(a), { epsilon: 0.1 }),
  (a, b) => ops.multiply(ops.tanh(a), ops.sigmoid(b)),
  (a) => ops.softmax(a),
  (a) => ops.transpose(a),
  (a) => ops.tanh(ops.reshape(ops.transpose(a), [size, size])),
  (a, b) => ops.concat([ops.slice(a, 0, 0, 2), ops.slice(b, 0, 2)], 0),
  (a, b) => ops.concat([ops.tanh(ops.slice(a, 1, 3)), ops.slice(ops.matmul(a, b), 1, 0, 3)], 1),
  (a, b) => ops.broadcastTo(ops.add(vector(a), ops.mean(b)), [size, size]),
  (a) => ops.pad(ops.slice(a, 1, 1, 4), 1, 2, 1),
  (a, b) => ops.gated('silu', a, ops.tanh(b)),
  (a, _, random) => ops.multiply(a, random.normal()),
]

function run(seed: number, inputs: readonly Tensor[]): Tensor[] {
  const random = new Random(seed)
  const values = [...inputs]
  const any = (): Tensor => values[random.integer(values.length)]!
  // More often than not the newest value goes on, so that chains get long.
  const next = (): Tensor => (random.uniform() < 0.6 ? values.at(-1)! : any())
  for (let i = 0; i < 12; i++) values.push(steps[random.integer(steps.length)]!(next(), any(), random))
  return [values.at(-1)!, ...Array.from({ length: random.integer(3) }, any)]
}

const inputsOf = (seed: number, dtype: 'f32' | 'f64'): Tensor[] =>
  [1, 2, 3].map((i) => tensor.randn([size, size], { seed: 10 * seed + i, dtype }))
const loss = (outputs: readonly Tensor[]): Tensor =>
  outputs.map((output) => ops.sum(ops.sigmoid(output))).reduce((a, b) => ops.add(a, b))

it.each(Array.from({ length: 80 }, (_, seed) => seed))('program %i', (seed) => {
  const inputs = inputsOf(seed, 'f32')
  using program = compile((given: readonly Tensor[]) => run(seed, given))
  const results = program.runSync(inputs)
  run(seed, inputs).forEach((expected, i) => expect(deviation(results[i]!.data(), expected.data())).toBeLessThan(1e-5))
  const gradients = (given: readonly Tensor[]): Tensor[] => {
    using step = compile((x: readonly Tensor[]) => valueAndGrad(() => loss(run(seed, x)), x)({}).grads)
    return step.runSync(given as Tensor[])
  }
  const expected = gradients(inputsOf(seed, 'f64'))
  gradients(inputs).forEach((gradient, i) => {
    const wide = expected[i]!.data()
    // What cancels to nearly nothing in f64 is rounding errors in f32.
    const allowed = 1e-5 + 1e-4 * Math.max(...wide.map(Math.abs))
    gradient.data().forEach((value, j) => expect(Math.abs(value - wide[j]!)).toBeLessThan(allowed))
  })
})
