import { becomes } from './fuse-matmul.ts'
import type { Value } from '../trace.ts'
import type { Rewriter, Rule } from './rewriter.ts'

/** Angles of the same positions and frequencies, of queries and keys and of every layer  →  are computed once. */
export const shareAngles: Rule = (node, rewriter) => {
  if (!becomes(node, 'rotaryAngles')) return
  const [positions, frequencies] = [rewriter.input(node, 'positions')!, rewriter.input(node, 'frequencies')!]
  const first = rewriter.readers(positions).find((other) => {
    const same = other.definition === node.definition && other.attributes['scale'] === node.attributes['scale']
    return same && rewriter.input(other, 'frequencies') === frequencies
  })
  if (first && first !== node) rewriter.replace(node.outputs[0]!, first.outputs[0]!)
}

interface Turned {
  x: Value
  angles: Value
  interleaved: boolean
}

/** What `value` is a rotation of, where nothing else reads it. */
function turned(rewriter: Rewriter, value: Value | undefined): Turned | undefined {
  const node = value?.node
  if (node?.definition.name !== 'rotaryEmbedding' || node.attributes['inverse'] || rewriter.uses(value!) !== 1)
    return undefined
  const [x, angles] = [rewriter.input(node, 'x')!, rewriter.input(node, 'angles')!]
  return { x, angles, interleaved: node.attributes['interleaved'] === true }
}

/**
 * attention(rotary(q), rotary(k)), the same over a cache, cacheWrite(rotary(k))  →  rows are turned as they are read, in no
 * pass of their own. Not in training, where the backward pass reads the turned rows.
 */
export const fuseRotary: Rule = (node, rewriter) => {
  if (becomes(node, 'cacheWrite')) {
    const rows = turned(rewriter, rewriter.input(node, 'x'))
    if (rows) rewriter.give(node, { x: rows.x, angles: rows.angles }, { interleaved: rows.interleaved })
    return
  }
  const isCached = becomes(node, 'cachedAttention')
  if (!isCached && !becomes(node, 'attention')) return
  const q = turned(rewriter, rewriter.input(node, 'q'))
  const k = isCached ? undefined : turned(rewriter, rewriter.input(node, 'k'))
  if ((!q && !k) || (q && k && q.interleaved !== k.interleaved)) return
  const operands = Object.fromEntries(node.definition.operands.map(({ name }) => [name, rewriter.input(node, name)]))
  const fused = rewriter.make(
    node.definition,
    {
      ...operands,
      ...(q && { q: q.x, queryAngles: q.angles }),
      ...(k && { k: k.x, keyAngles: k.angles }),
    },
    { ...node.attributes, interleaved: (q ?? k)!.interleaved },
  )
  node.outputs.forEach((output, index) => rewriter.replace(output, fused.outputs[index]!))
}
