import { stat } from 'node:fs/promises'
import { FileError } from '../errors.ts'
import { fileError } from './file-error.ts'
import { OpenFile } from './open-file.ts'

/** Far above any configuration, tokenizer or text that is worth reading at once; below Node's longest string. */
const maxTextBytes = 2 ** 28

/** Opens a regular file and calls `read` with it; closes it however that ends. Throws FileError as `OpenFile.open`. */
export async function withFile<T>(operation: string, path: string, read: (file: OpenFile) => Promise<T>): Promise<T> {
  const file = await OpenFile.open(operation, path)
  try {
    return await read(file)
  } catch (cause) {
    throw fileError(operation, path, cause)
  } finally {
    await file.close()
  }
}

/** True for a file or folder that is there. */
export function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

/** The text of a UTF-8 file of up to 256 MB. Throws FileError. */
export async function readText(path: string, operation = 'readText'): Promise<string> {
  const bytes = await withFile(operation, path, ({ handle, size }) => {
    if (size > maxTextBytes)
      throw new FileError(`${operation}: ${path}: expected at most ${maxTextBytes} bytes of text, got ${size}`)
    return handle.readFile()
  })
  return decodeUtf8(bytes, `${operation}: ${path}`)
}

/** The object in a JSON file. Throws FileError for a missing file, invalid UTF-8 or JSON, and anything but an object. */
export async function readJson(path: string, operation = 'readJson'): Promise<Record<string, unknown>> {
  return parseJsonObject(await readText(path, operation), `${operation}: ${path}`)
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** `where` begins the message of the FileError. */
export function decodeUtf8(bytes: Uint8Array, where: string): string {
  try {
    return utf8.decode(bytes)
  } catch (cause) {
    throw new FileError(`${where}: not valid UTF-8`, { cause })
  }
}

/** `where` begins the message of the FileError. */
export function parseJsonObject(text: string, where: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new FileError(`${where}: not valid JSON: ${(cause as Error).message}`, { cause })
  }
  if (!isObject(value))
    throw new FileError(
      `${where}: expected a JSON object, got ${Array.isArray(value) ? 'an array' : JSON.stringify(value).slice(0, 60)}`,
    )
  return value
}

/** True for what JSON writes in braces. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return Object.prototype.toString.call(value) === '[object Object]'
}
