import { describe, expect, it } from 'vitest'
import { ArgumentError } from '../../lib/errors.ts'
import { add, multiply, reshape, sum } from '../../lib/ops/index.ts'
import { Random } from '../../lib/tensor/random.ts'
import { allocateMemory, Parameter, type Tensor } from '../../lib/tensor/tensor.ts'
import { adamW, type AdamWOptions } from '../../lib/train/adamw.ts'
import { trainingStep } from '../../lib/train/training-step.ts'
import { deviation, norm } from '../reference/deviation.ts'

const learningRate = 0.02
const steps = 6
const shapes = { matrix: [3, 5], vector: [7] } as const
type Named = Record<keyof typeof shapes, Float64Array>

const randomValues = (seed: number): Named => {
  const random = new Random(seed)
  const draw = (size: number): Float64Array => Float64Array.from({ length: size }, () => Math.fround(random.normal()))
  return { matrix: draw(15), vector: draw(7) }
}
const names = Object.keys(shapes) as (keyof Named)[]

/** torch.optim.AdamW and clip_grad_norm_, in plain loops. */
function reference(options: Required<AdamWOptions>, clipNorm: number | undefined): { values: Named; norms: number[] } {
  const { beta1, beta2, epsilon, weightDecay, decayVectors } = options
  const values = randomValues(0)
  const [m, v] = [0, 1].map((): Named => ({ matrix: new Float64Array(15), vector: new Float64Array(7) })) as [
    Named,
    Named,
  ]
  const norms: number[] = []
  for (let t = 1; t <= steps; t++) {
    const gradients = randomValues(t)
    const total = norm(names.flatMap((name) => [...gradients[name]]))
    norms.push(total)
    const scale = clipNorm === undefined ? 1 : Math.min(1, clipNorm / (total + 1e-6))
    for (const name of names)
      for (let i = 0; i < values[name].length; i++) {
        const g = gradients[name][i]! * scale
        if (name === 'matrix' || decayVectors) values[name][i]! *= 1 - learningRate * weightDecay
        m[name][i] = beta1 * m[name][i]! + (1 - beta1) * g
        v[name][i] = beta2 * v[name][i]! + (1 - beta2) * g * g
        const [mean, square] = [m[name][i]! / (1 - beta1 ** t), v[name][i]! / (1 - beta2 ** t)]
        values[name][i]! -= (learningRate * mean) / (Math.sqrt(square) + epsilon)
      }
  }
  return { values, norms }
}

/** The loss is the sum of parameters times factors, so that the factors are the gradient. */
async function trained(options: AdamWOptions, clipNorm?: number): Promise<{ values: Named; norms: number[] }> {
  const start = randomValues(0)
  const parameters = new Map(names.map((name) => [name, parameterOf(start[name], shapes[name])]))
  using optimizer = adamW(options)(parameters)
  using step = trainingStep({
    parameters,
    optimizer,
    clipNorm,
    loss: ({ matrix, vector }: { matrix: Tensor; vector: Tensor }) =>
      add(
        sum(multiply(reshape(parameters.get('matrix')!, [15]), matrix)),
        sum(multiply(parameters.get('vector')!, vector)),
      ),
  })
  const norms: number[] = []
  for (let t = 1; t <= steps; t++) {
    const { matrix, vector } = randomValues(t)
    const { loss, gradNorm } = await step.run({
      batch: { matrix: Float32Array.from(matrix), vector: Float32Array.from(vector) },
      learningRate,
      step: Int32Array.of(t),
      seed: Int32Array.of(0),
    })
    norms.push(gradNorm.item())
    loss.dispose()
    gradNorm.dispose()
  }
  const of = (name: keyof Named): Float64Array => Float64Array.from(parameters.get(name)!.data())
  const values = { matrix: of('matrix'), vector: of('vector') }
  for (const parameter of parameters.values()) parameter.dispose()
  return { values, norms }
}

const parameterOf = (values: Float64Array, shape: readonly number[]): Parameter => {
  const parameter = new Parameter(shape, 'f32', allocateMemory('parameterOf', shape, 'f32'))
  parameter.data().set(values)
  return parameter
}

const defaults = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, decayVectors: false }

describe('adamW', () => {
  it.each<[AdamWOptions, number | undefined]>([
    [{}, undefined],
    [{ weightDecay: 0 }, undefined],
    [{ weightDecay: 0.7 }, undefined],
    [{ weightDecay: 0.7, decayVectors: true }, undefined],
    [{ beta1: 0.5, beta2: 0.6, epsilon: 0.1 }, undefined],
    [{ beta1: 0, beta2: 0 }, undefined],
    [{ epsilon: 0.01 }, 0.5],
    [{ epsilon: 0.01 }, 1e6],
  ])('%j, gradients clipped to %j: as plain loops in double', async (options, clipNorm) => {
    const expected = reference({ ...defaults, ...options }, clipNorm)
    const { values, norms } = await trained(options, clipNorm)
    for (const name of names) expect(deviation(values[name], expected.values[name]), name).toBeLessThan(1e-6)
    expect(deviation(norms, expected.norms)).toBeLessThan(1e-6)
  })

  it.each([{ beta1: 1 }, { beta2: -0.1 }, { epsilon: NaN }, { weightDecay: -1 }, { betas: [0.9, 0.99] }])(
    'refuses %j',
    (options) => expect(() => adamW(options as never)).toThrow(ArgumentError),
  )
})
