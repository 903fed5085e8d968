import { describe, FileError } from '../errors.ts'
import { isObject } from '../files/read-file.ts'

/** How deep one component may hold others: more is no tokenizer, and would exhaust the stack. */
const deepest = 16

/** Typed access to the fields of an object in a file; a FileError names the field and what was found. */
export class JsonFields {
  readonly #object: Record<string, unknown>
  /** Begins messages: the file, and the path to the object in it. */
  readonly where: string
  readonly #depth: number

  constructor(value: unknown, where: string, depth = 0) {
    if (!isObject(value)) throw new FileError(`${where}: expected an object, got ${describe(value)}`)
    if (depth > deepest) throw new FileError(`${where}: more than ${deepest} levels deep`)
    this.#object = value
    this.where = where
    this.#depth = depth
  }

  raw(name: string): unknown {
    const value = Object.hasOwn(this.#object, name) ? this.#object[name] : undefined
    return value === null ? undefined : value
  }

  object(name: string): JsonFields {
    return new JsonFields(this.raw(name), `${this.where}: ${name}`, this.#depth + 1)
  }

  optionalObject(name: string): JsonFields | undefined {
    return this.raw(name) === undefined ? undefined : this.object(name)
  }

  list(name: string): readonly unknown[] {
    const value = this.raw(name)
    if (!Array.isArray(value)) throw this.wrong(name, 'a list')
    return value
  }

  objects(name: string): JsonFields[] {
    return this.list(name).map((value, i) => new JsonFields(value, `${this.where}: ${name}[${i}]`, this.#depth + 1))
  }

  string(name: string, fallback?: string): string {
    const value = this.raw(name) ?? fallback
    if (typeof value !== 'string') throw this.wrong(name, 'a string')
    return value
  }

  optionalString(name: string): string | undefined {
    return this.raw(name) === undefined ? undefined : this.string(name)
  }

  boolean(name: string, fallback: boolean): boolean {
    const value = this.raw(name) ?? fallback
    if (typeof value !== 'boolean') throw this.wrong(name, 'true or false')
    return value
  }

  integer(name: string, min: number, max: number, fallback?: number): number {
    const value = this.raw(name) ?? fallback
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max)
      throw this.wrong(name, `an integer from ${min} to ${max}`)
    return value
  }

  /** The entry of `choices` that a field names. */
  choice<T>(name: string, choices: Readonly<Record<string, T>>, fallback?: string): T {
    const value = this.raw(name) ?? fallback
    if (typeof value !== 'string' || !Object.hasOwn(choices, value))
      throw this.wrong(name, `one of ${Object.keys(choices).join(', ')}, which are what is supported`)
    return choices[value]!
  }

  wrong(name: string, expected: string): FileError {
    return new FileError(`${this.where}: ${name} should be ${expected}, got ${describe(this.raw(name))}`)
  }
}
