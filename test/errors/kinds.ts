import { compile, tensor, type DType, type Shape, type Tensor } from '../../lib/index.ts'

/** One wrong value for an argument: how a report calls it, and how it is made. */
export interface Wrong {
  readonly name: string
  make(): unknown
}

/** What an argument should be: a value that is right, and many that are not. */
export interface Kind {
  valid(): unknown
  readonly wrong: readonly Wrong[]
}

const junk = {
  undefined: () => undefined,
  null: () => null,
  object: () => ({}),
  unknownOption: () => ({ surelyUnknown: 1 }),
  string: () => 'x',
  bigint: () => 7n,
  symbol: () => Symbol('s'),
  boolean: () => true,
  number: () => 7,
  NaN: () => NaN,
  infinity: () => Infinity,
  negative: () => -5,
  fraction: () => 1.5,
  huge: () => 2 ** 53,
  array: () => [],
  arrayOfUndefined: () => [undefined],
  function: () => (x: unknown) => x,
  date: () => new Date(0),
  tensor: () => tensor([1, 2]),
  detached: () => detached(Float32Array.of(1, 2)),
} satisfies Record<string, () => unknown>

type Junk = keyof typeof junk

/** All junk but what is right for this kind. */
const junkBut = (...right: Junk[]): Wrong[] =>
  Object.entries(junk)
    .filter(([name]) => !right.includes(name as Junk))
    .map(([name, make]) => ({ name, make }))

const listed = (...values: unknown[]): Wrong[] =>
  values.map((value) => ({
    name: Array.isArray(value) ? `[${value.map(String).join()}]` : String(value),
    make: () => value,
  }))

const kind = (valid: () => unknown, ...wrong: Wrong[][]): Kind => ({ valid, wrong: wrong.flat() })

/** A typed array whose memory went to somebody else. */
export function detached<A extends Float32Array | Int32Array | Float64Array>(array: A): A {
  structuredClone(array.buffer, { transfer: [array.buffer as ArrayBuffer] })
  return array
}

function disposed(shape: Shape, dtype: DType): Tensor {
  const t = tensor.zeros(shape, { dtype })
  t.dispose()
  return t
}

/** A symbolic tensor that a traced function leaked. */
function leaked(shape: Shape, dtype: DType): Tensor {
  let kept: Tensor | undefined
  using program = compile(({ x }: { x: Tensor }) => (kept = x))
  program.runSync({ x: tensor.zeros(shape, { dtype }) })
  return kept!
}

export interface TensorKind {
  dtype?: DType
  /** Of the elements; 0 unless said. */
  value?: number
  /** Dtypes that are wrong here. */
  wrongDTypes?: readonly DType[]
  wrongShapes?: readonly Shape[]
}

export function tensorOf(
  shape: Shape,
  { dtype = 'f32', value = 0, wrongDTypes, wrongShapes = [] }: TensorKind = {},
): Kind {
  const wrongTypes = wrongDTypes ?? (dtype === 'i32' ? ['f32', 'f64', 'bf16'] : ['i32'])
  return kind(
    () => tensor.full(shape, value, { dtype }),
    junkBut('tensor'),
    [
      { name: 'disposed', make: () => disposed(shape, dtype) },
      { name: 'leaked', make: () => leaked(shape, dtype) },
    ],
    wrongTypes.map((other) => ({ name: other, make: () => tensor.zeros(shape, { dtype: other }) })),
    wrongShapes.map((other) => ({ name: `[${other.join()}]`, make: () => tensor.zeros(other, { dtype }) })),
  )
}

/** The same, or nothing. */
export const optional = ({ valid, wrong }: Kind): Kind => ({
  valid,
  wrong: wrong.filter(({ name }) => name !== 'undefined'),
})

/** A kind for which these wrong values are right. */
export const but = ({ valid, wrong }: Kind, ...right: string[]): Kind => ({
  valid,
  wrong: wrong.filter(({ name }) => !right.includes(name)),
})

/** A tensor or a number. */
export const operand = (shape: Shape, options?: TensorKind): Kind =>
  but(tensorOf(shape, options), 'number', 'NaN', 'infinity', 'negative', 'fraction', 'huge')

export const integer = (min: number, max: number, valid = min): Kind =>
  kind(
    () => valid,
    junkBut('number', ...(min <= -5 ? (['negative'] as const) : [])),
    listed(min - 1, max + 1).filter(({ make }) => Number.isSafeInteger(make()) || max < 2 ** 53 - 1),
  )

export const number = (min = -Infinity, max = Infinity, valid = Math.max(min, 0)): Kind =>
  kind(
    () => valid,
    junkBut(
      'number',
      ...(max >= 1.5 ? (['fraction'] as const) : []),
      ...(max >= 2 ** 53 ? (['huge'] as const) : []),
      ...(min <= -5 ? (['negative'] as const) : []),
    ),
    listed(...(min > -Infinity ? [min - 1] : []), ...(max < Infinity ? [max + 1] : [])),
  )

export const boolean = kind(() => true, junkBut('boolean'))
export const text = kind(() => 'a', junkBut('string'))
export const fn = (valid: () => unknown): Kind => kind(valid, junkBut('function'))
export const oneOf = (...choices: string[]): Kind =>
  kind(() => choices[0], junkBut(), listed('', choices[0]!.toUpperCase(), 'constructor', '__proto__'))
export const dtype = oneOf('f32', 'f64', 'i32', 'bf16')

const tooLarge: unknown[] = [[2 ** 31, 2 ** 31], [2 ** 53], [2 ** 40], [1e6, 1e6], [NaN], [-1], [1.5], [Infinity]]
export const shape = (valid: Shape = [2]): Kind =>
  kind(() => valid, junkBut('array'), listed(...tooLarge, ['2'], [2n], [null], [1, 1, 1, 1, 1, 1, 1]))

export const axis = (rank: number): Kind => integer(-rank, rank - 1, 0)

export const signal = kind(() => new AbortController().signal, junkBut(), [
  { name: 'an AbortController', make: () => new AbortController() },
  { name: 'a lookalike', make: () => ({ aborted: false }) },
])

export const path = (valid: () => string): Kind => kind(valid, junkBut('string'), listed('', 'a\0b'))

/** An Int32Array of token ids. */
export const tokens = (valid: () => Int32Array, ...wrongLengths: number[]): Kind =>
  kind(
    valid,
    junkBut(),
    [{ name: 'detached i32', make: () => detached(valid()) }],
    wrongLengths.map((length) => ({ name: `${length} tokens`, make: () => new Int32Array(length) })),
  )

export const arrayOf = ({ valid, wrong }: Kind): Kind =>
  kind(
    () => [valid(), valid()],
    junkBut(),
    wrong.map(({ name, make }) => ({ name: `an array with ${name}`, make: () => [valid(), make()] })),
  )

export const mapOf = (key: string, { valid, wrong }: Kind): Kind =>
  kind(
    () => new Map([[key, valid()]]),
    junkBut(),
    wrong.map(({ name, make }) => ({ name: `a map with ${name}`, make: () => new Map([[key, make()]]) })),
  )

/** An instance; anything else is wrong. */
export const instance = (make: () => unknown): Kind => kind(make, junkBut())

/**
 * An object of options: unknown names are wrong, and each wrong value of each option, and the lack of required ones.
 * An option whose value is undefined counts as not given.
 */
export function options(required: Readonly<Record<string, Kind>>, others: Readonly<Record<string, Kind>> = {}): Kind {
  const all = { ...required, ...Object.fromEntries(Object.entries(others).map(([name, k]) => [name, optional(k)])) }
  const valid = (): Record<string, unknown> =>
    Object.fromEntries(Object.entries(required).map(([name, k]) => [name, k.valid()]))
  const needed = Object.keys(required)
  return kind(
    valid,
    needed.length ? junkBut() : junkBut('undefined', 'object'),
    [{ name: 'an unknown option', make: () => ({ ...valid(), surelyUnknown: 1 }) }],
    needed.map((name) => ({
      name: `without ${name}`,
      make: () => Object.fromEntries(Object.entries(valid()).filter(([key]) => key !== name)),
    })),
    Object.entries(all).flatMap(([name, k]) =>
      k.wrong.map((wrong) => ({ name: `${name}: ${wrong.name}`, make: () => ({ ...valid(), [name]: wrong.make() }) })),
    ),
  )
}
