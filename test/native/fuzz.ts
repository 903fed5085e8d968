/**
 * Damages programs as lib/graph encodes them and gives them to the addon, which has to refuse or run each.
 *
 *     node --import tsx test/native/fuzz.ts <seed> <rounds>
 *
 * Run by fuzz.test.ts in a process of its own: a crash is what it is for. Prints how many were refused and run.
 */
import { native } from '../../lib/native/load.ts'
import type { NativeStorage } from '../../lib/native/native.ts'
import { Random } from '../../lib/tensor/random.ts'
import { recordPrograms, type Recorded } from './recorded-programs.ts'

const [seed = 1, rounds = 20_000] = process.argv.slice(2).map(Number)
const random = new Random(seed)
const pick = <T>(from: ArrayLike<T>): T => from[random.integer(from.length)]!
const chance = (probability: number): boolean => random.uniform() < probability

/** Numbers that checks stumble over. */
const treacherous = [
  0, 1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 17, 63, 64, 65, 255, 256, 257, -1, -2, 0.5, -0, NaN, Infinity, -Infinity,
  2 ** 20, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 40, 2 ** 51, 2 ** 52, 2 ** 53 - 1, 2 ** 53, 2 ** 63, 2 ** 64, 1e308, 5e-324,
] // prettier-ignore

const bits = new DataView(new ArrayBuffer(8))
function flipBit(value: number): number {
  bits.setFloat64(0, value)
  const at = random.integer(8)
  bits.setUint8(at, bits.getUint8(at) ^ (1 << random.integer(8)))
  return bits.getFloat64(0)
}

const damages: readonly ((code: number[], other: readonly number[]) => void)[] = [
  (code) => (code[random.integer(code.length)] = pick(treacherous)),
  (code) => (code[random.integer(code.length)] = random.integer(300)),
  (code) => (code[random.integer(code.length)] = pick(code)),
  (code) => (code[random.integer(code.length)]! += chance(0.5) ? 1 : -1),
  (code) => (code[random.integer(code.length)]! *= 2),
  (code) => {
    const at = random.integer(code.length)
    code[at] = flipBit(code[at]!)
  },
  (code) => code.splice(random.integer(code.length)),
  (code) => code.splice(random.integer(code.length), 1 + random.integer(4)),
  (code) => code.splice(random.integer(code.length), 0, ...code.slice(0, random.integer(12))),
  (code, other) => code.splice(random.integer(code.length), code.length, ...other.slice(random.integer(other.length))),
]

/** Elements of the largest operand of sound code: more than this takes its time, but is no danger. */
const mostElements = 2 ** 16

function largestOperand(code: readonly number[]): number {
  let largest = 0
  for (let at = 0; at + 2 < code.length;) {
    const [, attributes, operands] = code.slice(at, at + 3) as [number, number, number]
    at += 3 + attributes
    for (let i = 0; i < operands && at < code.length; i++) {
      if (code[at] === -1) {
        at++
        continue
      }
      const rank = code[at + 3] ?? 0
      const size = code.slice(at + 4, at + 4 + rank).reduce((product, d) => product * Math.max(1, d), 1)
      largest = Math.max(largest, size)
      at += 4 + 3 * rank
    }
  }
  return largest
}

const count = { refused: 0, ran: 0, failed: 0, skipped: 0 }

function attempt({ bindingBytes, arenaBytes, capacity, commitIndex }: Recorded, code: readonly number[]): void {
  const words = Float64Array.from(code)
  let program
  try {
    program = new native.Program(words, arenaBytes, bindingBytes.length, capacity, commitIndex)
  } catch {
    count.refused++
    return
  }
  if (largestOperand(code) > mostElements) {
    count.skipped++
    return
  }
  const storages = bindingBytes.map((bytes) => filled(chance(0.02) ? random.integer(bytes + 1) : bytes))
  try {
    program.runSync(storages, capacity && random.integer(capacity + 1))
    count.ran++
  } catch {
    count.failed++
  } finally {
    for (const storage of storages) storage.dispose()
    program.dispose()
  }
}

/** Also indices, lengths and positions are damaged. */
function filled(bytes: number): NativeStorage {
  const storage = new native.Storage(bytes)
  if (bytes >= 4 && chance(0.5)) {
    const numbers = new Int32Array(storage.buffer(), 0, bytes >> 2)
    const kind = random.integer(3)
    for (let i = 0; i < Math.min(64, numbers.length); i++)
      numbers[i] = kind === 0 ? random.integer(8) : kind === 1 ? random.uint32() | 0 : 0x3f800000
  }
  return storage
}

const recorded = recordPrograms()
for (const program of recorded) attempt(program, program.code)
if (count.refused) throw new Error(`${count.refused} programs were refused as they were recorded`)
for (let round = 0; round < rounds; round++) {
  const program = pick(recorded)
  const code = [...program.code]
  for (let damage = 0; damage < 3; damage++)
    if (code.length && (damage === 0 || chance(0.3))) pick(damages)(code, pick(recorded).code)
  const arenaBytes = chance(0.1) ? random.integer(2 * program.arenaBytes + 1) : program.arenaBytes
  attempt({ ...program, arenaBytes }, code)
}
process.stdout.write(`${JSON.stringify(count)}\n`)
