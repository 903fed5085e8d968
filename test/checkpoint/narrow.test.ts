import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { widenBf16, widenF16 } from '../../lib/checkpoint/convert.ts'
import { narrow, type NarrowType } from '../../lib/checkpoint/narrow.ts'
import { readSafetensors, writeSafetensors } from '../../lib/checkpoint/safetensors.ts'
import { tensor } from '../../lib/tensor/create.ts'

const widen = { bf16: widenBf16, f16: widenF16 }
/** Every number of a type, by its bits. */
function all(type: NarrowType): Float32Array {
  const words = Uint16Array.from({ length: 2 ** 16 }, (_, i) => i)
  const values = new Float32Array(2 ** 16)
  widen[type](new Uint8Array(words.buffer), values, 0)
  return values
}
const bitsOf = (x: number): number => new Uint32Array(Float32Array.of(x).buffer)[0]!
const ofBits = (bits: number): number => new Float32Array(Uint32Array.of(bits).buffer)[0]!

describe.each(['bf16', 'f16'] as const)('%s', (type) => {
  const values = all(type)
  const infinity = { bf16: 0x7f80, f16: 0x7c00 }[type]

  it('keeps every number that it holds', () => {
    const back = narrow(values, type, 0)
    for (let i = 0; i < 2 ** 16; i++)
      if (Number.isNaN(values[i])) expect(back[i]! & 0x7fff).toBeGreaterThan(infinity)
      else expect(back[i]).toBe(i)
  })

  it('rounds to the nearest, and between two to the even one', () => {
    for (let i = 0; i + 1 < infinity; i++) {
      // Exact in f32, and so are its neighbours.
      const middle = Math.fround((values[i]! + values[i + 1]!) / 2)
      const around = [ofBits(bitsOf(middle) - 1), middle, ofBits(bitsOf(middle) + 1)]
      const expected = [i, i % 2 ? i + 1 : i, i + 1]
      const got = [...narrow(Float32Array.from([...around, ...around.map((x) => -x)]), type, 0)]
      const wanted = [...expected, ...expected.map((bits) => bits | 0x8000)]
      if (got.join() !== wanted.join()) expect(got, `after ${values[i]}`).toEqual(wanted)
    }
  })

  it('refuses what would become infinite', () => {
    const largest = values[infinity - 1]!
    const limit = { bf16: ofBits(0x7f7f8000), f16: 65520 }[type]
    expect(narrow(Float32Array.of(ofBits(bitsOf(limit) - 1)), type, 0)[0]).toBe(infinity - 1)
    expect(() => narrow(Float32Array.of(largest, -limit), type, 10)).toThrow(
      `element 11 is ${-limit}, which is too large`,
    )
    expect([...narrow(Float32Array.of(Infinity, -Infinity), type, 0)]).toEqual([infinity, infinity | 0x8000])
  })

  it('is written, and read back as it was rounded', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'heedful-'))
    const path = join(folder, 'x.safetensors')
    try {
      using x = tensor(Float32Array.from({ length: 2 ** 20 + 5 }, (_, i) => i / 7))
      using tokens = tensor(Int32Array.of(1 << 20))
      using wide = tensor(Float64Array.of(1 / 3))
      const scaled = type === 'f16' ? x.data().map((value) => value / 10) : x.data()
      x.data().set(scaled)
      await writeSafetensors(
        path,
        [
          ['x', x],
          ['tokens', tokens],
          ['wide', wide],
        ] as never,
        {},
        { dtype: type },
      )
      const { tensors } = await readSafetensors(path)
      const expected = new Float32Array(x.size)
      widen[type](new Uint8Array(narrow(x.data() as Float32Array, type, 0).buffer), expected, 0)
      expect(
        Buffer.compare(new Uint8Array(tensors.get('x')!.data().slice().buffer), new Uint8Array(expected.buffer)),
      ).toBe(0)
      expect([tensors.get('tokens')!.item(), tensors.get('wide')!.item()]).toEqual([1 << 20, 1 / 3])
      for (const read of tensors.values()) read.dispose()
      x.data()[3] = 3.4e38
      await expect(writeSafetensors(join(folder, 'y'), [['x', x]], {}, { dtype: type })).rejects.toThrow(
        'writeSafetensors: tensor "x": element 3 is 3.3999999521443642e+38, which is too large',
      )
      expect(await readdir(folder)).toEqual(['x.safetensors'])
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})
