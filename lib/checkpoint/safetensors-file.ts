import { FileError } from '../errors.ts'
import { OpenFile } from '../files/open-file.ts'
import type { StoredTensor } from './checkpoint.ts'
import { lengthBytes, maxHeaderBytes, parseHeader } from './safetensors-header.ts'

export interface SafetensorsFile {
  readonly file: OpenFile
  /** In the order of the data. */
  readonly tensors: ReadonlyMap<string, StoredTensor>
  readonly metadata: Record<string, string>
}

/**
 * Opens a safetensors file: u64 length of the header, header (JSON), data. The header is checked as a whole. Throws
 * FileError, which names the file and what is wrong with it, for everything that is not exactly such a file.
 */
export async function openSafetensorsFile(operation: string, path: string): Promise<SafetensorsFile> {
  const where = `${operation}: ${path}`
  const file = await OpenFile.open(operation, path)
  try {
    const headerBytes = await readHeaderLength(file, where)
    const dataStart = lengthBytes + headerBytes
    const header = await file.read(new Uint8Array(headerBytes), lengthBytes, where)
    const { entries, metadata } = parseHeader(header, file.size - dataStart, where)
    const tensors = new Map(
      entries.map(({ name, type, shape, begin, end }) => [
        name,
        { shape, type, byteLength: end - begin, file, position: dataStart + begin },
      ]),
    )
    return { file, tensors, metadata }
  } catch (error) {
    await file.close()
    throw error
  }
}

async function readHeaderLength(file: OpenFile, where: string): Promise<number> {
  if (file.size < lengthBytes)
    throw new FileError(
      `${where}: too short for a safetensors file: expected at least ${lengthBytes} bytes, got ${file.size}`,
    )
  const bytes = await file.read(new Uint8Array(lengthBytes), 0, where)
  const length = new DataView(bytes.buffer).getBigUint64(0, true)
  if (length > maxHeaderBytes)
    throw new FileError(
      `${where}: the header claims ${length} bytes, the format allows ${maxHeaderBytes}; not a safetensors file, or damaged`,
    )
  if (Number(length) > file.size - lengthBytes)
    throw new FileError(
      `${where}: the header claims ${length} bytes, but the file holds only ${file.size - lengthBytes} more; truncated or damaged`,
    )
  return Number(length)
}
