import { describe, it } from 'vitest'
import { Random } from '../../lib/tensor/random.ts'
import { families } from './cases/index.ts'
import type { Data } from './guarded-program.ts'
import { differentiated, forwardOf, gradientOf, type Subject } from './suite.ts'

const step = 1e-5

type Numbers = Readonly<Record<string, ArrayLike<number>>>

const differentiable = Object.entries(families)
  .map(
    ([family, cases]) => [family, cases.filter((given) => given.differences !== false && gradientOf(given))] as const,
  )
  .filter(([, cases]) => cases.length > 0)

describe.each(differentiable)('%s: gradients against central differences, in f64', (_, cases) => {
  it.each(cases)('$name', (given) => {
    const gradient = gradientOf(given)!
    const wrt = differentiated(given)
    using forward = forwardOf(given).program('f64')
    using backward = gradient.program('f64')
    /** Σ w ⊙ y, and the sum of the magnitudes, which says how far rounding can carry. */
    const loss = (inputs: Numbers): { value: number; magnitude: number } => {
      let [value, magnitude] = [0, 0]
      forward.run(inputs).forEach((y, k) => {
        y.forEach((element, i) => {
          value += gradient.data[`w${k}`]![i]! * element
          magnitude += Math.abs(gradient.data[`w${k}`]![i]! * element)
        })
      })
      return { value, magnitude }
    }
    const gradients = backward.run(gradient.data)
    for (const direction of directions(gradient, wrt)) {
      const [ahead, behind] = [step, -step].map((t) => loss(moved(gradient.data, direction, t)))
      const difference = (ahead!.value - behind!.value) / (2 * step)
      const { value, magnitude } = along(gradients[wrt.indexOf(direction.name)]!, direction.d)
      const error = 1e-7 * magnitude + (1e-14 * ahead!.magnitude) / step + 1e-12
      if (!(Math.abs(value - difference) <= error))
        throw new Error(`the derivative by ${direction.name} is ${value}, by differences ${difference} ± ${error}`)
    }
  })
})

/** A change of one input. */
interface Direction {
  readonly name: string
  readonly d: Float64Array
}

/** For each input, each element by itself when there are few, else two random directions. */
function directions({ data }: Subject, wrt: readonly string[]): Direction[] {
  const random = new Random(3)
  return wrt.flatMap((name) => {
    const size = data[name]!.length
    const elementwise = size <= 12
    return Array.from({ length: elementwise ? size : 2 }, (_, k) => ({
      name,
      d: Float64Array.from({ length: size }, (_, i) => (elementwise ? Number(i === k) : random.normal())),
    }))
  })
}

const moved = (data: Numbers, { name, d }: Direction, t: number): Numbers => ({
  ...data,
  [name]: d.map((change, i) => data[name]![i]! + t * change),
})

/** Σ gradient · d, and the sum of the magnitudes. */
function along(gradient: Data, d: Float64Array): { value: number; magnitude: number } {
  let [value, magnitude] = [0, 0]
  d.forEach((change, i) => {
    value += gradient[i]! * change
    magnitude += Math.abs(gradient[i]! * change)
  })
  return { value, magnitude }
}
