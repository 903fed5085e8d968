/**
 * Every error that heedful throws on purpose. `code` is stable; the message names the operation, what was expected,
 * what came, and what to do.
 */
export class HeedfulError extends Error {
  readonly code: string
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.name = new.target.name
  }
}

/** Shapes that do not fit together, or a shape that is none. */
export class ShapeError extends HeedfulError {
  constructor(message: string, options?: ErrorOptions) {
    super('HEEDFUL_SHAPE', message, options)
  }
}

/** An element type that the operation does not take. */
export class DTypeError extends HeedfulError {
  constructor(message: string, options?: ErrorOptions) {
    super('HEEDFUL_DTYPE', message, options)
  }
}

/** An argument or option of the wrong kind, out of range, or unknown. */
export class ArgumentError extends HeedfulError {
  constructor(message: string, options?: ErrorOptions) {
    super('HEEDFUL_ARGUMENT', message, options)
  }
}

/** Something was used after `dispose()`. */
export class DisposedError extends HeedfulError {
  constructor(message: string, options?: ErrorOptions) {
    super('HEEDFUL_DISPOSED', message, options)
  }
}

/** Code that is traced asked for something that only a run can give, or the other way round. */
export class TraceError extends HeedfulError {
  constructor(message: string, options?: ErrorOptions) {
    super('HEEDFUL_TRACE', message, options)
  }
}

/** An operation failed while it ran: an index out of range, memory that could not be had. */
export class ExecutionError extends HeedfulError {
  constructor(message: string, options?: ErrorOptions) {
    super('HEEDFUL_EXECUTION', message, options)
  }
}

/** A file that is missing, damaged, or not what it claims to be. */
export class FileError extends HeedfulError {
  constructor(message: string, options?: ErrorOptions) {
    super('HEEDFUL_FILE', message, options)
  }
}

/** The Hugging Face Hub refused, lacks or damaged what was asked for, or could not be reached. */
export class HubError extends HeedfulError {
  /** The status of HTTP, if the Hub answered. */
  readonly status: number | undefined
  constructor(message: string, options: ErrorOptions & { status?: number } = {}) {
    super('HEEDFUL_HUB', message, options)
    this.status = options.status
  }
}

/** The addon could not be loaded. */
export class NativeLoadError extends HeedfulError {
  constructor(message: string, options?: ErrorOptions) {
    super('HEEDFUL_NATIVE_LOAD', message, options)
  }
}

const optionTypes = {
  any: { expected: 'a value', holds: () => true },
  boolean: { expected: 'true or false', holds: (value: unknown) => typeof value === 'boolean' },
  function: { expected: 'a function', holds: (value: unknown) => typeof value === 'function' },
  signal: { expected: 'an AbortSignal', holds: isSignal },
}

/** What options there are: their names, or their names and types; what 'any' may be is checked where it is used. */
export type KnownOptions = readonly string[] | Readonly<Record<string, keyof typeof optionTypes>>

/**
 * Throws ArgumentError for every option that is not known, and suggests the nearest one; for null, which is no way to
 * leave an option out; and for one of the wrong type. undefined counts as not given.
 */
export function checkOptions(operation: string, options: object, known: KnownOptions): void {
  if (Object.prototype.toString.call(options) !== '[object Object]')
    throw new ArgumentError(`${operation}: expected an object of options, got ${describe(options)}`)
  const names = Array.isArray(known) ? (known as readonly string[]) : Object.keys(known)
  const types = known as Readonly<Record<string, keyof typeof optionTypes>>
  for (const [key, value] of Object.entries(options)) {
    if (!names.includes(key)) {
      const near = nearest(key, names)
      const hint = near ? `did you mean ${near}?` : names.length ? `known: ${names.join(', ')}` : 'it takes none'
      throw new ArgumentError(`${operation}: unknown option ${JSON.stringify(key)}; ${hint}`)
    }
    const { expected, holds } = optionTypes[Array.isArray(known) ? 'any' : types[key]!]
    if (value === null || (value !== undefined && !holds(value)))
      throw new ArgumentError(`${operation}: ${key} should be ${expected}, got ${describe(value)}; or leave it out`)
  }
}

/** Also one of another realm. */
function isSignal(value: unknown): boolean {
  const { aborted, addEventListener, throwIfAborted } = Object(value) as Partial<AbortSignal>
  return typeof aborted === 'boolean' && typeof addEventListener === 'function' && typeof throwIfAborted === 'function'
}

/** The word of `known` that is closest to `word`, if one is close. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance]
  }
  return best
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++)
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1))
    row = next
  }
  return row[b.length]!
}

/** A value as an error message shows it: short, with its type. */
export function describe(value: unknown, depth = 0): string {
  if (value === null || value === undefined) return String(value)
  if (typeof value === 'string')
    return value.length > 60 ? `${JSON.stringify(value.slice(0, 60))}…` : JSON.stringify(value)
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') return String(value)
  if (typeof value === 'symbol') return 'a symbol'
  if (typeof value === 'function') return `function ${value.name || '(anonymous)'}`
  if (Array.isArray(value))
    return value.length > 8 || depth > 1
      ? `an array of ${value.length}`
      : `[${value.map((inner) => describe(inner, depth + 1)).join(', ')}]`
  const name = (value as object).constructor?.name ?? 'Object'
  return name === 'Object' ? 'an object' : `${/^[AEIOU]/.test(name) ? 'an' : 'a'} ${name}`
}

/** `value` if it is an integer in [min, max], else ArgumentError. */
export function checkInteger(
  operation: string,
  name: string,
  value: unknown,
  min: number,
  max = Number.MAX_SAFE_INTEGER,
): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
    const range = max === Number.MAX_SAFE_INTEGER ? `an integer of at least ${min}` : `an integer from ${min} to ${max}`
    throw new ArgumentError(`${operation}: ${name} should be ${range}, got ${describe(value)}`)
  }
  return value
}

/** `value` if it is a finite number in [min, max], else ArgumentError. */
export function checkNumber(operation: string, name: string, value: unknown, min = -Infinity, max = Infinity): number {
  if (typeof value !== 'number' || Number.isNaN(value) || value < min || value > max || !Number.isFinite(value))
    throw new ArgumentError(`${operation}: ${name} should be a number from ${min} to ${max}, got ${describe(value)}`)
  return value
}
