import { describe, expect, it } from 'vitest'
import { compile, grad, ops, tensor, Tensor, valueAndGrad } from '../../lib/index.ts'
import { deviation } from '../reference/deviation.ts'

/** Where tanh is near 1, its derivative 1 − t² keeps few of the digits of t. */
const tolerance = 3e-6
type Named = Record<string, Tensor>

/** Instructions of the program, but for constants. */
function instructionsOf(fn: (inputs: Named) => unknown, inputs: Named): string[] {
  using program = compile(fn)
  program.runSync(inputs)
  return program.instructions.filter((name) => name !== 'fill')
}
const count = (instructions: readonly string[], name: string): number => instructions.filter((n) => n === name).length
const tensorsOf = (value: unknown): Tensor[] =>
  value instanceof Tensor ? [value] : Object.values(value as object).flatMap(tensorsOf)

/** The program does these instructions and gives what the operations give one by one. */
function expectRewritten(fn: (inputs: Named) => unknown, inputs: Named, instructions: string[]): void {
  expect(instructionsOf(fn, inputs)).toEqual(instructions)
  using program = compile(fn)
  const actual = tensorsOf(program.runSync(inputs))
  tensorsOf(fn(inputs)).forEach((expected, i) => {
    expect(actual[i]!.shape).toEqual(expected.shape)
    expect(deviation(actual[i]!.data(), expected.data())).toBeLessThan(tolerance)
  })
}

/** Gradients of the program agree with those of the same program in f64, which runs plain loops. */
function expectGradients(loss: (inputs: Named) => Tensor, inputs: Named, expected: Record<string, number>): void {
  const gradients = (given: Named): { instructions: string[]; values: Tensor[] } => {
    const fn = (traced: Named) => valueAndGrad(() => loss(traced), traced)({})
    using program = compile(fn)
    return { values: tensorsOf(program.runSync(given)), instructions: [...program.instructions] }
  }
  const { instructions, values } = gradients(inputs)
  for (const [name, times] of Object.entries(expected)) expect([name, count(instructions, name)]).toEqual([name, times])
  const wide = Object.fromEntries(Object.entries(inputs).map(([name, x]) => [name, ops.cast(x, 'f64')]))
  gradients(wide).values.forEach((value, i) =>
    expect(deviation(values[i]!.data(), value.data())).toBeLessThan(tolerance),
  )
}

const x = tensor.randn([6, 16], { seed: 1 })
const w = tensor.randn([16, 24], { seed: 2 })
const v = tensor.randn([24, 16], { seed: 3 })
const bias = tensor.randn([24], { seed: 4 })
const { add, matmul, gelu, layerNorm, mean, multiply, relu, rmsNorm, square, sum, tanh, transpose } = ops

describe('a bias in the epilogue of a product', () => {
  const product = ({ x, w }: Named): Tensor => matmul(x!, w!)

  it('is added there from either side, for matrices and batches', () => {
    expectRewritten((t) => add(product(t), t['bias']!), { x, w, bias }, ['matmul'])
    expectRewritten((t) => add(t['bias']!, product(t)), { x, w, bias }, ['matmul'])
    expectRewritten((t) => matmul(t['x']!, t['w']!, { bias: t['bias']! }), { x, w, bias }, ['matmul'])
    const batch = tensor.randn([3, 5, 16], { seed: 5 })
    expectRewritten((t) => add(product(t), t['bias']!), { x: batch, w, bias }, ['matmul'])
  })

  it.each([[[6, 24]], [[1, 24]], [[6, 1]], [[1]], [[]]])('is not when its shape is %j', (shape) => {
    const other = tensor.randn(shape, { seed: 6 })
    expectRewritten((t) => add(product(t), t['other']!), { x, w, other }, ['matmul', 'binary'])
  })

  it('is not when the product is wanted as well, or has a bias', () => {
    expectRewritten(
      (t) => {
        const y = product(t)
        return [add(y, t['bias']!), y]
      },
      { x, w, bias },
      ['matmul', 'binary'],
    )
    expectRewritten(
      (t) => {
        const y = product(t)
        return add(add(y, t['bias']!), y)
      },
      { x, w, bias },
      ['matmul', 'binary', 'binary'],
    )
    expectRewritten((t) => add(add(product(t), t['bias']!), t['bias']!), { x, w, bias }, ['matmul', 'binary'])
  })
})

describe('an activation in the epilogue of a product', () => {
  it.each(['relu', 'gelu', 'geluTanh', 'silu', 'sigmoid', 'tanh', 'exp', 'square', 'negate'] as const)('%s', (name) => {
    const f = ops[name] as (x: Tensor) => Tensor
    expectRewritten((t) => f(matmul(t['x']!, t['w']!)), { x, w }, ['matmul'])
    expectRewritten((t) => f(add(matmul(t['x']!, t['w']!), t['bias']!)), { x, w, bias }, ['matmul'])
    const row = ops.slice(x, 0, 2, 3)
    expectRewritten((t) => f(add(matmul(t['row']!, t['w']!), t['bias']!)), { row, w, bias }, ['matmul'])
  })

  it('stores what it was taken of when that is wanted as well', () => {
    const both = (t: Named): Tensor[] => {
      const y = matmul(t['x']!, t['w']!, { bias: t['bias']! })
      return [gelu(y), y]
    }
    expectRewritten(both, { x, w, bias }, ['matmul'])
  })

  it('is one, not two, and not of anything but the product', () => {
    expectRewritten((t) => tanh(gelu(matmul(t['x']!, t['w']!))), { x, w }, ['matmul', 'unary'])
    expectRewritten(
      (t) => {
        const y = matmul(t['x']!, t['w']!)
        return [gelu(y), tanh(y)]
      },
      { x, w },
      ['matmul', 'unary'],
    )
    const part = (t: Named): Tensor => gelu(ops.slice(matmul(t['x']!, t['w']!), 1, 3, 9))
    expectRewritten(part, { x, w }, ['matmul', 'unary'])
  })
})

describe('the derivative of an activation in the epilogue of the product behind it', () => {
  const hidden = ({ x, w, bias }: Named): Tensor => gelu(matmul(x!, w!, { bias: bias! }))

  it('is multiplied there', () => {
    const loss = (t: Named): Tensor => sum(tanh(matmul(hidden(t), t['v']!)))
    // Two forward, two backward each; tanh is not followed by a product.
    expectGradients(loss, { x, w, v, bias }, { matmul: 6, unary: 0, unaryGradient: 1 })
  })

  it('is not when the activation is used twice', () => {
    const loss = (t: Named): Tensor => {
      const h = hidden(t)
      return add(sum(tanh(matmul(h, t['v']!))), mean(multiply(h, h)))
    }
    expectGradients(loss, { x, w, v, bias }, { matmul: 6, unaryGradient: 2 })
  })

  it('is not when the product goes elsewhere, too', () => {
    const loss = (t: Named): Tensor => sum(tanh(matmul(add(gelu(t['a']!), t['b']!), t['v']!)))
    const [a, b] = [5, 6].map((seed) => tensor.randn([6, 24], { seed }))
    expectGradients(loss, { a: a!, b: b!, v }, { matmul: 3, unaryGradient: 2 })
  })
})

describe('a residual connection in a norm', () => {
  const weight = tensor.randn([16], { seed: 7 })
  const y = tensor.randn([6, 16], { seed: 8 })

  it.each([
    ['layerNorm', (sum: Tensor, { weight, shift }: Named) => layerNorm(sum, weight!, shift!)],
    ['rmsNorm', (sum: Tensor, { weight }: Named) => rmsNorm(sum, weight!)],
  ] as const)('%s adds first, and keeps the sum when it is wanted', (_, norm) => {
    const inputs = { x, y, weight, shift: weight }
    expectRewritten((t) => norm(add(t['x']!, t['y']!), t), inputs, ['norm'])
    const both = (t: Named): Tensor[] => {
      const s = add(t['x']!, t['y']!)
      return [norm(s, t), s]
    }
    expectRewritten(both, inputs, ['norm'])
    const twice = (t: Named): Tensor[] => {
      const s = add(t['x']!, t['y']!)
      return [norm(s, t), norm(s, { ...t, weight: t['y2']! })]
    }
    expectRewritten(twice, { ...inputs, y2: tensor.ones([16]) }, ['norm', 'norm'])
  })

  it.each([[[16]], [[1, 16]], [[6, 1]], [[]]])('does not add what stretches from %j', (shape) => {
    const other = tensor.randn(shape, { seed: 9 })
    const fn = (t: Named): Tensor => rmsNorm(add(t['x']!, t['other']!), t['weight']!)
    expectRewritten(fn, { x, other, weight }, ['binary', 'norm'])
  })

  it('does not add when the weight comes from the sum', () => {
    const fn = (t: Named): Tensor => {
      const s = add(t['x']!, t['y']!)
      return rmsNorm(s, mean(s, { axis: 0 }))
    }
    expectRewritten(fn, { x, y }, ['binary', 'reduce', 'norm'])
  })

  const block = (t: Named): Tensor => add(t['x']!, matmul(rmsNorm(t['x']!, t['weight']!), t['w']!))
  const square16 = tensor.randn([16, 16], { seed: 10 })

  it("adds the residual's gradient in the backward pass of the norm", () => {
    // One binary is the sum itself.
    expectGradients((t) => sum(tanh(block(t))), { x, w: square16, weight }, { normGradient: 1, binary: 1, norm: 1 })
    const deep = (t: Named): Tensor => sum(tanh(block({ ...t, x: block(t) })))
    // One more for each of the two weights, whose gradients are added up.
    expectGradients(deep, { x, w: square16, weight }, { normGradient: 2, binary: 3, norm: 2 })
  })

  it('does not when the norm is used twice', () => {
    const loss = (t: Named): Tensor => {
      const n = rmsNorm(t['x']!, t['weight']!)
      return sum(tanh(add(matmul(n, t['w']!), n)))
    }
    // One binary each: the sum forward, the sum of the two gradients of n.
    expectGradients(loss, { x, w: square16, weight }, { normGradient: 1, binary: 2 })
  })

  it('does not when its gradient goes elsewhere, too, or what would be added comes from it', () => {
    // Squares: a sum of tanh would cancel, and the loss be off by more than what it is compared by.
    const loss = (t: Named): Tensor => sum(square(add(rmsNorm(add(t['x']!, t['y']!), t['weight']!), t['x']!)))
    expectGradients(loss, { x, y, weight }, { normGradient: 1, binary: 2 })
    const fn = (t: Named): Tensor => {
      const normed = (): Tensor => sum(tanh(rmsNorm(t['x']!, t['weight']!)))
      const grads = valueAndGrad(normed, { x: t['x']!, weight: t['weight']! })({}).grads
      return add(grads.x, ops.broadcastTo(grads.weight, [6, 16]))
    }
    const [narrow, wide] = (['f32', 'f64'] as const).map((dtype) => {
      using program = compile(fn)
      return program.runSync({ x: ops.cast(x, dtype), weight: ops.cast(weight, dtype) }).data()
    })
    expect(deviation(narrow!, wide!)).toBeLessThan(tolerance)
  })
})

describe('the transpose of a product', () => {
  it('is the product of the transposes: gradients of transposed weights are made as they lie', () => {
    expectRewritten((t) => transpose(matmul(t['x']!, t['w']!)), { x, w }, ['matmul'])
    const batch = tensor.randn([2, 3, 16], { seed: 11 })
    const many = tensor.randn([2, 16, 4], { seed: 12 })
    expectRewritten((t) => transpose(matmul(t['batch']!, t['many']!), [0, 2, 1]), { batch, many }, ['matmul'])
    const weight = tensor.randn([24, 16], { seed: 13 })
    const loss = (t: Named): Tensor => sum(tanh(matmul(t['x']!, transpose(t['weight']!))))
    expectGradients(loss, { x, weight }, { matmul: 3, copy: 0 })
  })

  it('is not where the product is wanted as it is, has a bias, or other axes change places', () => {
    const both = (t: Named): Tensor[] => {
      const y = matmul(t['x']!, t['w']!)
      return [transpose(y), y]
    }
    expectRewritten(both, { x, w }, ['matmul', 'copy'])
    const biased = (t: Named): Tensor => transpose(matmul(t['x']!, t['w']!, { bias: t['bias']! }))
    expectRewritten(biased, { x, w, bias }, ['matmul', 'copy'])
    const batch = tensor.randn([2, 3, 16], { seed: 11 })
    const many = tensor.randn([2, 16, 4], { seed: 12 })
    const turned = (t: Named): Tensor => transpose(matmul(t['batch']!, t['many']!), [1, 0, 2])
    expectRewritten(turned, { batch, many }, ['matmul', 'copy'])
  })
})

describe('dead nodes', () => {
  it('are not computed', () => {
    const fn = (t: Named): Tensor => {
      gelu(matmul(t['x']!, t['w']!))
      return relu(square(t['x']!))
    }
    expectRewritten(fn, { x, w }, ['unary', 'unary'])
  })

  it('are not gradients that nobody asks for', () => {
    const gradientOf = (...names: string[]): string[] =>
      instructionsOf(
        (t) =>
          valueAndGrad(
            () => sum(tanh(matmul(t['x']!, t['w']!))),
            names.map((name) => t[name]!),
          )({}),
        { x, w },
      )
    expect(count(gradientOf('x', 'w'), 'matmul')).toBe(3)
    expect(count(gradientOf('x'), 'matmul')).toBe(2)
    expect(gradientOf()).toEqual(['matmul', 'reduce'])
  })

  it('are not updates of state', () => {
    const cache = tensor.zeros([1, 1, 2, 2])
    const position = tensor(1, { dtype: 'i32' })
    const fn = (t: Named): Tensor => {
      ops.cacheWrite(cache, t['key']!, position)
      return t['key']!
    }
    expect(instructionsOf(fn, { key: tensor.ones([1, 1, 1, 2]) })).toContain('cacheWrite')
    expect([...cache.data()]).toEqual([0, 0, 1, 1])
  })
})

describe('the gradient of an embedding that is also the output projection', () => {
  const inputs = { table: tensor.randn([40, 8], { seed: 1 }), ids: tensor(Int32Array.of(3, 7, 3, 39, 0)) }
  const loss = ({ table, ids }: Named): Tensor =>
    ops.linearCrossEntropy(ops.embedding(table!, ids!), table!, ids!, { reduction: 'sum' })

  it('is added to that of the projection where it lies', () => {
    const gradient = ({ table, ids }: Named) => valueAndGrad(() => loss({ table: table!, ids: ids! }), table!)({})
    expect(instructionsOf(gradient, inputs)).toEqual(['embedding', 'linearCrossEntropy', 'embeddingGradient'])
    using program = compile(gradient)
    const f32 = program.runSync(inputs).grads.data()
    const f64 = program.runSync({ ...inputs, table: ops.cast(inputs.table, 'f64') }).grads.data()
    expect(deviation(f32, f64)).toBeLessThan(tolerance)
  })
})

describe('the cross-entropy of a product', () => {
  const { crossEntropy, reshape } = ops
  const classes = tensor.randn([24, 16], { seed: 7 })
  const targets = tensor([3, 0, -100, 23, 7, 3], { dtype: 'i32' })
  const logits = ({ x, w, bias }: Named): Tensor => matmul(x!, transpose(w!), bias ? { bias } : {})
  const given = { x, w: classes }

  it('does not store the logits', () => {
    expectRewritten((t) => crossEntropy(logits(t), targets), given, ['linearCrossEntropy'])
    expectRewritten(
      (t) => crossEntropy(add(logits(t), bias), targets, { labelSmoothing: 0.1, reduction: 'sum' }),
      given,
      ['linearCrossEntropy'],
    )
    const batch = tensor.randn([2, 3, 16], { seed: 8 })
    expectRewritten((t) => crossEntropy(reshape(logits(t), [6, 24]), targets), { x: batch, w: classes }, [
      'linearCrossEntropy',
    ])
  })

  it('nor their gradients', () => {
    const alone = { linearCrossEntropy: 1, matmul: 0, crossEntropy: 0, crossEntropyGradient: 0, copy: 0 }
    expectGradients((t) => crossEntropy(logits(t), targets), given, alone)
    const biased = (t: Named): Tensor => add(matmul(t['x']!, transpose(t['w']!)), t['bias']!)
    expectGradients((t) => crossEntropy(biased(t), targets), { ...given, bias }, alone)
    expectGradients((t) => crossEntropy(logits(t), targets, { reduction: 'sum' }), { ...given, bias }, alone)
    const batch = tensor.randn([2, 3, 16], { seed: 8 })
    const flat = (t: Named): Tensor => crossEntropy(reshape(logits(t), [6, 24]), targets)
    expectGradients(flat, { x: batch, w: classes }, alone)
    expectGradients(flat, { x: batch, w: classes, bias }, alone)
    expectGradients((t) => crossEntropy(logits({ ...t, x: tanh(t['x']!) }), targets), given, {
      ...alone,
      unaryGradient: 1,
    })
    expectGradients((t) => add(crossEntropy(logits(t), targets), mean(square(t['w']!))), given, alone)
  })

  it('stores what something else reads, or what has to be scaled', () => {
    const stored = { linearCrossEntropy: 0, crossEntropy: 1, crossEntropyGradient: 1 }
    expectGradients((t) => multiply(crossEntropy(logits(t), targets), 0.5), given, stored)
    expectGradients((t) => mean(crossEntropy(logits(t), targets, { reduction: 'none' })), given, stored)
    expectGradients((t) => crossEntropy(matmul(t['x']!, t['w']!), targets), { x, w }, stored)
    expectGradients(
      (t) => {
        const y = logits(t)
        return add(crossEntropy(y, targets), mean(square(y)))
      },
      given,
      stored,
    )
    expectRewritten(
      (t) => {
        const y = logits(t)
        return [crossEntropy(y, targets), y]
      },
      given,
      ['matmul', 'crossEntropy'],
    )
    expectRewritten((t) => crossEntropy(relu(logits(t)), targets), given, ['matmul', 'crossEntropy'])
  })
})

describe('the gradient of an embedding that is only stepped along', () => {
  const rows = 40
  const ids = tensor([7, 0, 39, 7, 3], { dtype: 'i32' })
  const gradient = tensor.randn([5, 12], { seed: 9 })
  const train =
    (given: Tensor, alsoGiveIt: boolean, paddingIndex?: number) =>
    ({ table, m, v }: Named): Tensor[] => {
      const options = paddingIndex === undefined ? {} : { paddingIndex }
      const made = grad(() => sum(multiply(ops.embedding(table!, given, options), gradient)), table!)({})
      const norm = ops.globalNorm([made])
      const step = ops.reshape(tensor([2], { dtype: 'i32' }), [])
      const learningRate = ops.fill([], 0.1)
      const updated = ops.adamWStep(table!, { gradient: made, m: m!, v: v!, step, learningRate, weightDecay: 0.1 })
      return [add(updated, 0), add(m!, 0), add(v!, 0), norm, ...(alsoGiveIt ? [made] : [])]
    }
  const state = (): Named =>
    Object.fromEntries(['table', 'm', 'v'].map((name, seed) => [name, ops.square(tensor.randn([rows, 12], { seed }))]))
  const run = (fn: (inputs: Named) => Tensor[]): { instructions: readonly string[]; results: Tensor[] } => {
    using program = compile(fn)
    return { results: program.runSync(state()), instructions: program.instructions }
  }

  it.each([undefined, 7])('is stored as the rows of the ids, with the same numbers (padding %s)', (padding) => {
    const few = run(train(ids, false, padding))
    const whole = run(train(ids, true, padding))
    expect(count(few.instructions, 'embeddingRows')).toBe(1)
    expect(count(few.instructions, 'embeddingGradient')).toBe(0)
    expect(count(whole.instructions, 'embeddingGradient')).toBe(1)
    for (const i of [0, 1, 2]) expect(few.results[i]!.data()).toEqual(whole.results[i]!.data())
    expect(deviation(few.results[3]!.data(), whole.results[3]!.data())).toBeLessThan(tolerance)
  })

  it('is stored whole where there are as many ids as rows', () => {
    const many = tensor(
      Int32Array.from({ length: rows }, (_, i) => (i * i) % rows),
      { dtype: 'i32' },
    )
    const { instructions } = run((t) => {
      const made = grad(() => sum(square(ops.embedding(t['table']!, many))), t['table']!)({})
      return [ops.globalNorm([made])]
    })
    expect(count(instructions, 'embeddingRows')).toBe(0)
  })
})
