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

/** The addon could not be loaded. */
export class NativeLoadError extends HeedfulError {
  constructor(message: string, options?: ErrorOptions) {
    super('HEEDFUL_NATIVE_LOAD', message, options)
  }
}

/** Throws ArgumentError for every key of `options` that is not in `known`; suggests the nearest one. */
export function checkOptions(operation: string, options: object, known: readonly string[]): void {
  if (options === null || typeof options !== 'object')
    throw new ArgumentError(`${operation}: expected an object of options, got ${describe(options)}`)
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue
    const near = nearest(key, known)
    const hint = near ? `did you mean ${near}?` : known.length ? `known: ${known.join(', ')}` : 'it takes none'
    throw new ArgumentError(`${operation}: unknown option ${JSON.stringify(key)}; ${hint}`)
  }
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
export function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (typeof value === 'string')
    return value.length > 60 ? `${JSON.stringify(value.slice(0, 60))}…` : JSON.stringify(value)
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') return String(value)
  if (typeof value === 'function') return `function ${value.name || '(anonymous)'}`
  if (Array.isArray(value))
    return value.length > 8 ? `an array of ${value.length}` : `[${value.map(describe).join(', ')}]`
  return `a ${(value as object).constructor?.name ?? 'object'}`
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
