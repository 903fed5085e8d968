import type { Buffer } from './lower.ts'

const alignment = 64

export interface Plan {
  readonly arenaBytes: number
  /** Byte offset in the arena of each buffer that lives there. */
  readonly offsets: ReadonlyMap<Buffer, number>
}

/**
 * Gives every buffer of the arena an offset such that no two that live at the same time overlap: largest first, each
 * at the lowest place that is free during its life (greedy by size; Pisarchyk & Lee 2020, "Efficient memory management
 * for deep neural net inference").
 */
export function planMemory(buffers: readonly Buffer[]): Plan {
  const planned: { buffer: Buffer; start: number; end: number }[] = []
  const offsets = new Map<Buffer, number>()
  const bySize = buffers
    .filter(({ place, first }) => place === 'arena' && first >= 0)
    .sort((a, b) => b.bytes - a.bytes || a.first - b.first)
  let arenaBytes = 0
  for (const buffer of bySize) {
    const bytes = Math.ceil(buffer.bytes / alignment) * alignment
    const alive = planned.filter((other) => other.buffer.first <= buffer.last && buffer.first <= other.buffer.last)
    let start = 0
    for (const other of alive.sort((a, b) => a.start - b.start)) {
      if (other.start - start >= bytes) break
      start = Math.max(start, other.end)
    }
    planned.push({ buffer, start, end: start + bytes })
    offsets.set(buffer, start)
    arenaBytes = Math.max(arenaBytes, start + bytes)
  }
  return { arenaBytes, offsets }
}
