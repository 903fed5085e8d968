import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readSafetensors } from '../../lib/checkpoint/safetensors.ts'
import type { Tensor } from '../../lib/tensor/tensor.ts'
import { onnxModel, type Constant, type Node } from './onnx-model.ts'

interface EncoderSizes {
  readonly numLayers: number
  readonly numHeads: number
  readonly hiddenSize: number
  readonly normEpsilon: number
}

interface Graph {
  readonly fused?: boolean
  readonly int8: boolean
  readonly padded?: boolean
}

/** The graph of the model in a folder of transformers. */
export async function onnxOfFolder(folder: string, graph: Graph): Promise<Buffer> {
  const config = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8')) as Record<string, number>
  const { tensors } = await readSafetensors(join(folder, 'model.safetensors'))
  const sizes = {
    numLayers: config['num_hidden_layers']!,
    numHeads: config['num_attention_heads']!,
    hiddenSize: config['hidden_size']!,
    normEpsilon: config['layer_norm_eps']!,
  }
  const model = onnxEncoder(tensors, sizes, graph)
  for (const tensor of tensors.values()) tensor.dispose()
  return model
}

/**
 * BERT as a graph of ONNX, from the tensors of its checkpoint: norms with their residual sums and GELU with its bias as the
 * fused operators of onnxruntime, attention as one of them too (`fused`) or as exporters write it; products by f32 or by
 * DynamicQuantizeMatMul with weights of 8 bits and a scale for each column. Its inputs are ids, positions and types, its output
 * hidden; or, for @huggingface/transformers (`padded`, not fused), the names of transformers with attention_mask.
 */
function onnxEncoder(
  weights: ReadonlyMap<string, Tensor>,
  { numLayers, numHeads, hiddenSize, normEpsilon }: EncoderSizes,
  { fused = false, int8, padded = false }: Graph,
): Buffer {
  const nodes: Node[] = []
  const constants: Constant[] = []
  const tensor = (name: string): Tensor => weights.get(name) ?? weights.get(`bert.${name}`)!
  const add = (
    type: string,
    inputs: string[],
    output: string,
    attributes?: Node['attributes'],
    domain = '',
  ): string => {
    nodes.push({ type, inputs, output, domain, ...(attributes && { attributes }) })
    return output
  }
  const microsoft = 'com.microsoft'
  const constant = (name: string): string => {
    const { shape } = tensor(name)
    constants.push({ name, type: 'f32', shape, data: tensor(name).data() as Float32Array })
    return name
  }
  const integers = (name: string, values: number[]): string => {
    constants.push({ name, type: 'i64', shape: [values.length], data: BigInt64Array.from(values.map(BigInt)) })
    return name
  }
  const scale = 'scale'
  constants.push({ name: scale, type: 'f32', shape: [], data: Float32Array.of(1 / Math.sqrt(hiddenSize / numHeads)) })
  const byHead = integers('byHead', [0, 0, numHeads, hiddenSize / numHeads])
  const joined = integers('joined', [0, 0, hiddenSize])

  /** x·Wᵀ, without the bias. */
  const product = (x: string, name: string, output: string): string => {
    const { shape } = tensor(`${name}.weight`)
    const [outputs, inputs] = shape as [number, number]
    const w = transposed(tensor(`${name}.weight`).data() as Float32Array, outputs, inputs)
    if (!int8) {
      constants.push({ name: `${name}.w`, type: 'f32', shape: [inputs, outputs], data: w })
      return add('MatMul', [x, `${name}.w`], output)
    }
    const { values, scales } = quantized(w, inputs, outputs)
    constants.push({ name: `${name}.w`, type: 'i8', shape: [inputs, outputs], data: values })
    constants.push({ name: `${name}.s`, type: 'f32', shape: [outputs], data: scales })
    return add('DynamicQuantizeMatMul', [x, `${name}.w`, `${name}.s`], output, undefined, microsoft)
  }
  const linear = (x: string, name: string): string =>
    add('Add', [product(x, name, `${name}.p`), constant(`${name}.bias`)], `${name}.y`)
  const norm = (x: string, skip: string, name: string, bias: string): string =>
    add(
      'SkipLayerNormalization',
      [x, skip, constant(`${name}.weight`), constant(`${name}.bias`), constant(bias)],
      `${name}.y`,
      { epsilon: normEpsilon },
      microsoft,
    )

  const [ids, types] = padded ? ['input_ids', 'token_type_ids'] : ['ids', 'types']
  const embed = (kind: string, of: string): string =>
    add('Gather', [constant(`embeddings.${kind}_embeddings.weight`), of], `${kind}.e`)
  const sum = add('Add', [embed('word', ids!), embed('position', padded ? counted() : 'positions')], 'sum')
  const hidden = padded ? hiddenKeys() : undefined
  let x = add(
    'LayerNormalization',
    [
      add('Add', [sum, embed('token_type', types!)], 'embedded'),
      constant('embeddings.LayerNorm.weight'),
      constant('embeddings.LayerNorm.bias'),
    ],
    'x',
    { axis: -1, epsilon: normEpsilon },
  )
  for (let i = 0; i < numLayers; i++) {
    const layer = `encoder.layer.${i}`
    const [q, k, v] = ['query', 'key', 'value'].map((part) => linear(x, `${layer}.attention.self.${part}`))
    const attended = fused
      ? add('MultiHeadAttention', [q!, k!, v!], `${layer}.o`, { num_heads: numHeads }, microsoft)
      : attention(layer, q!, k!, v!)
    const dense = `${layer}.attention.output.dense`
    const a = norm(product(attended, dense, `${dense}.p`), x, `${layer}.attention.output.LayerNorm`, `${dense}.bias`)
    const up = `${layer}.intermediate.dense`
    const inner = add('BiasGelu', [product(a, up, `${up}.p`), constant(`${up}.bias`)], `${up}.y`, undefined, microsoft)
    const down = `${layer}.output.dense`
    x = norm(product(inner, down, `${down}.p`), a, `${layer}.output.LayerNorm`, `${down}.bias`)
  }
  const output = padded ? 'last_hidden_state' : 'hidden'
  const indices = [ids!, types!, padded ? 'attention_mask' : 'positions']
  add('Identity', [x], output)
  return onnxModel({
    nodes,
    constants,
    inputs: Object.fromEntries(indices.map((name) => [name, ['b', 's']])),
    indices,
    outputs: { [output]: ['b', 's', hiddenSize] },
  })

  /** 0, 1, … as many as there are columns. */
  function counted(): string {
    const number = (name: string, value: bigint): string => {
      constants.push({ name, type: 'i64', shape: [], data: BigInt64Array.of(value) })
      return name
    }
    const one = number('one', 1n)
    const count = add('Gather', [add('Shape', [ids!], 'shape'), one], 'columns')
    return add('Range', [number('zero', 0n), count, one], 'positions')
  }

  /** What is added to scores: 0 for tokens, next to −∞ for padding. */
  function hiddenKeys(): string {
    constants.push({ name: 'far', type: 'f32', shape: [], data: Float32Array.of(-1e38) })
    constants.push({ name: 'whole', type: 'f32', shape: [], data: Float32Array.of(1) })
    const mask = add('Cast', ['attention_mask'], 'mask', { to: 1 })
    const far = add('Mul', [add('Sub', ['whole', mask], 'padding'), 'far'], 'far.b')
    return add('Reshape', [far, integers('overScores', [0, 1, 1, -1])], 'hiddenKeys')
  }

  function attention(layer: string, q: string, k: string, v: string): string {
    const heads = (y: string, perm: number[]): string =>
      add('Transpose', [add('Reshape', [y, byHead], `${y}.r`)], `${y}.t`, { perm })
    const scores = add('MatMul', [heads(q, [0, 2, 1, 3]), heads(k, [0, 2, 3, 1])], `${layer}.s`)
    const scaled = add('Mul', [scores, scale], `${layer}.scaled`)
    const seen = hidden ? add('Add', [scaled, hidden], `${layer}.seen`) : scaled
    const p = add('Softmax', [seen], `${layer}.p`, { axis: -1 })
    const o = add('MatMul', [p, heads(v, [0, 2, 1, 3])], `${layer}.pv`)
    return add('Reshape', [add('Transpose', [o], `${layer}.ot`, { perm: [0, 2, 1, 3] }), joined], `${layer}.o`)
  }
}

function transposed(w: Float32Array, rows: number, columns: number): Float32Array {
  const made = new Float32Array(w.length)
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) made[j * rows + i] = w[i * columns + j]!
  return made
}

/** Nearest multiples of a scale for each column, which takes the largest to 127. */
export function quantized(w: Float32Array, k: number, n: number): { values: Int8Array; scales: Float32Array } {
  const scales = new Float32Array(n)
  for (let i = 0; i < k * n; i++) scales[i % n] = Math.max(scales[i % n]!, Math.abs(w[i]!) / 127)
  return { values: Int8Array.from(w, (x, i) => Math.round(x / scales[i % n]!)), scales }
}
