import { open, stat, type FileHandle } from 'node:fs/promises'
import { FileError } from '../errors.ts'
import { checkPath, fileError } from './file-error.ts'

/** Far above any configuration, tokenizer or text that is worth reading at once; below Node's longest string. */
const maxTextBytes = 2 ** 28

/**
 * Opens a regular file and calls `read` with its size in bytes; closes it however that ends. A FileError for what is
 * missing or no regular file: folders, and devices and pipes, which might never end.
 */
export async function withFile<T>(
  operation: string,
  path: string,
  read: (handle: FileHandle, size: number) => Promise<T>,
): Promise<T> {
  checkPath(operation, path)
  try {
    const found = await stat(path)
    if (found.isDirectory()) throw new FileError(`${operation}: ${path}: is a folder, expected a file`)
    if (!found.isFile()) throw new FileError(`${operation}: ${path}: expected a regular file`)
    const handle = await open(path, 'r')
    try {
      return await read(handle, (await handle.stat()).size)
    } finally {
      await handle.close()
    }
  } catch (cause) {
    throw fileError(operation, path, cause)
  }
}

/** The text of a UTF-8 file of up to 256 MB. Throws FileError. */
export async function readText(path: string, operation = 'readText'): Promise<string> {
  const bytes = await withFile(operation, path, (handle, size) => {
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

/** `where` begins the message of the FileError. */
export function decodeUtf8(bytes: Uint8Array, where: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
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
