import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openCheckpoint } from '../../lib/checkpoint/open-checkpoint.ts'
import { narrow } from '../../lib/checkpoint/narrow.ts'

/** A trained Llama of 260,032 parameters; its README.md says where it comes from. */
export const storiesFolder = fileURLToPath(new URL('stories260K', import.meta.url))

export const storiesTypes = ['f32', 'f16', 'q8_0', 'q5_1', 'q4_0'] as const
export type StoriesType = (typeof storiesTypes)[number]

export interface ExpectedStories {
  readonly text: string
  /** The beginning of a text, and 200 greedy tokens. */
  readonly ids: readonly number[]
  readonly meanNll: Readonly<Record<StoriesType, number>>
  readonly sha256: Readonly<Record<StoriesType, string>>
}

export const readExpectedStories = async (): Promise<ExpectedStories> =>
  JSON.parse(await readFile(join(storiesFolder, 'expected.json'), 'utf8')) as ExpectedStories

/** Writes the GGUF file of a type, the same to the last bit as the package `gguf` of llama.cpp wrote it. */
export async function writeStoriesGguf(path: string, type: StoriesType): Promise<void> {
  const header = await readFile(join(storiesFolder, `${type}.gguf-header`))
  await using checkpoint = await openCheckpoint(storiesFolder)
  const numbers = async (name: string): Promise<Float32Array> => {
    using tensor = await checkpoint.read(name)
    return Float32Array.from(tensor.data())
  }
  const parts: Uint8Array[] = [header]
  const layer = [
    'input_layernorm',
    'self_attn.q_proj',
    'self_attn.k_proj',
    'self_attn.v_proj',
    'self_attn.o_proj',
    'post_attention_layernorm',
    'mlp.gate_proj',
    'mlp.down_proj',
    'mlp.up_proj',
  ]
  // The output is the token embedding.
  const names = ['embed_tokens', 'norm', 'embed_tokens']
  for (let i = 0; i < 5; i++) names.push(...layer.map((name) => `layers.${i}.${name}`))
  for (const name of names) {
    const values = await numbers(`model.${name}.weight`)
    const rows = /\.[qk]_proj/.test(name) ? interleave(values) : values
    const bytes = /norm/.test(name) ? bytesOf(rows) : round(rows, name.endsWith('down_proj') ? whole(type) : type)
    parts.push(bytes, new Uint8Array(-bytes.length & 31))
  }
  const file = Buffer.concat(parts)
  const { sha256 } = await readExpectedStories()
  if (createHash('sha256').update(file).digest('hex') !== sha256[type])
    throw new Error(`${type}: this is not the file that the expectations belong to`)
  await writeFile(path, file)
}

const bytesOf = (array: Float32Array | Uint16Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
/** Rows of 172 numbers are no whole blocks. */
const whole = (type: StoriesType): StoriesType => (type.startsWith('q') ? 'f16' : type)

/** llama.cpp turns neighbours: row j · 4 + i of each head (j < 2, i < 4) becomes row 2i + j. */
function interleave(rows: Float32Array): Float32Array {
  const [width, headDim] = [64, 8]
  const result = new Float32Array(rows.length)
  for (let row = 0; row < rows.length / width; row++) {
    const [head, inHead] = [Math.floor(row / headDim), row % headDim]
    const target = head * headDim + 2 * (inHead % 4) + Math.floor(inHead / 4)
    result.set(rows.subarray(row * width, (row + 1) * width), target * width)
  }
  return result
}

function round(values: Float32Array, type: StoriesType): Uint8Array {
  if (type === 'f32') return bytesOf(values)
  if (type === 'f16') return bytesOf(narrow(values, 'f16', 0))
  const blocks: Uint8Array[] = []
  for (let at = 0; at < values.length; at += 32) blocks.push(roundBlock[type](values.subarray(at, at + 32)))
  return Buffer.concat(blocks)
}

const f = Math.fround
const half = (value: number): Uint8Array => bytesOf(narrow(Float32Array.of(value), 'f16', 0))
const inverse = (scale: number): number => (scale === 0 ? 0 : f(1 / scale))

/** Blocks of 32 numbers as llama.cpp rounds them: scales from f32, which are stored as f16. */
const roundBlock = {
  q8_0(x: Float32Array): Uint8Array {
    const scale = f(Math.max(...x.map(Math.abs)) / 127)
    const q = Int8Array.from(x, (value) => {
      const scaled = f(value * inverse(scale))
      return Math.sign(scaled) * Math.floor(Math.abs(scaled) + 0.5)
    })
    return Buffer.concat([half(scale), new Uint8Array(q.buffer)])
  },
  q4_0(x: Float32Array): Uint8Array {
    const largest = x.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0)
    const scale = f(largest / -8)
    const q = Array.from(x, (value) => Math.min(15, Math.floor(value * inverse(scale) + 8.5)))
    return Buffer.concat([half(scale), Uint8Array.from({ length: 16 }, (_, i) => q[i]! | (q[i + 16]! << 4))])
  },
  q5_1(x: Float32Array): Uint8Array {
    const least = Math.min(...x)
    const scale = f(f(Math.max(...x) - least) / 31)
    const q = Array.from(x, (value) => Math.floor(f(f(f(value - least) * inverse(scale)) + 0.5)))
    const high = q.reduce((bits, value, i) => (bits | ((value >> 4) << i)) >>> 0, 0)
    return Buffer.concat([
      half(scale),
      half(least),
      new Uint8Array(Uint32Array.of(high).buffer),
      Uint8Array.from({ length: 16 }, (_, i) => (q[i]! & 15) | ((q[i + 16]! & 15) << 4)),
    ])
  },
}
