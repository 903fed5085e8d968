import * as heedful from '../../lib/index.ts'
import * as train from '../../lib/train/index.ts'
import type { Call } from './calls/call.ts'
import type { Wrong } from './kinds.ts'

const { HeedfulError } = heedful
type AnyFunction = (...args: unknown[]) => unknown
type AnyClass = new (...args: unknown[]) => object

const isClass = (value: unknown): value is AnyClass =>
  typeof value === 'function' && /^class\b/.test(Function.prototype.toString.call(value))

/** Every function that the package exports, also the methods of its classes, by path. */
function functionsOf(value: unknown, path: string, found = new Map<string, AnyFunction | AnyClass>()) {
  if (typeof value !== 'function' && (typeof value !== 'object' || value === null)) return found
  const inside = (key: string): string => (path ? `${path}.${key}` : key)
  if (typeof value === 'function') found.set(path, value as AnyFunction)
  if (isClass(value))
    for (const [key, { value: method }] of Object.entries(Object.getOwnPropertyDescriptors(value.prototype)))
      if (key !== 'constructor' && typeof method === 'function') found.set(`${path}#${key}`, method as AnyFunction)
  for (const key of Object.getOwnPropertyNames(value))
    if (!['length', 'name', 'prototype'].includes(key))
      functionsOf((value as Record<string, unknown>)[key], inside(key), found)
  return found
}

/** The public functions of the package. */
export const functions: ReadonlyMap<string, unknown> = new Map([
  ...functionsOf(heedful, ''),
  ...functionsOf(train, 'train'),
])

/** What comes of a call, also of what it promises or yields. */
async function outcome(path: string, self: unknown, args: readonly unknown[]): Promise<unknown> {
  const target = functions.get(path) as AnyFunction | AnyClass
  const result: unknown = isClass(target) ? Reflect.construct(target, args) : await Reflect.apply(target, self, args)
  const isGenerator =
    typeof result === 'object' && result !== null && Symbol.asyncIterator in result && 'next' in result
  return isGenerator ? (result as AsyncGenerator).next() : result
}

/** What is wrong with the way in which a call fails; undefined when nothing is. */
async function complaint(call: () => Promise<unknown>, named: RegExp): Promise<string | undefined> {
  try {
    await call()
    return 'was accepted'
  } catch (error) {
    if (!(error instanceof HeedfulError)) return `threw ${String(error)}`
    return named.test(error.message) ? undefined : `does not name the operation: ${error.message}`
  }
}

/** Calls a function with each wrong argument in turn; tells what did not end in a typed error that names it. */
export async function complaints(path: string, { args, on, named, fails }: Call): Promise<string[]> {
  const name = path.split(/[.#]/).at(-1)!
  const pattern = named ?? new RegExp(`^(\\w+\\.)?${name}\\b`)
  const found: string[] = []
  try {
    await outcome(
      path,
      on?.valid(),
      args.map((kind) => kind.valid()),
    )
    if (fails) found.push('right arguments: was accepted')
  } catch (error) {
    if (!(error instanceof Error && fails?.test(error.message))) found.push(`right arguments: threw ${String(error)}`)
  }
  const attempt = async (what: string, { make }: Wrong, position: number): Promise<void> => {
    const values = args.map((kind, i) => (i === position ? make() : kind.valid()))
    const problem = await complaint(() => outcome(path, position < 0 ? make() : on?.valid(), values), pattern)
    if (problem) found.push(`${what}: ${problem}`)
  }
  for (const wrong of on?.wrong.filter(
    ({ name: what }) => ['disposed', 'leaked'].includes(what) || what.startsWith('['),
  ) ?? [])
    await attempt(`on ${wrong.name}`, wrong, -1)
  for (const [position, kind] of args.entries())
    for (const wrong of kind.wrong) await attempt(`argument ${position}, ${wrong.name}`, wrong, position)
  return found
}
