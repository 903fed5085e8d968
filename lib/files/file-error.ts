import { ArgumentError, describe, FileError } from '../errors.ts'

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or folder',
  ENOTDIR: 'a part of this path is not a folder',
  EISDIR: 'is a folder, expected a file',
  EACCES: 'permission denied',
  EPERM: 'not permitted',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space left on the device',
  EDQUOT: 'the disk quota is exceeded',
  EMFILE: 'too many open files',
  ENAMETOOLONG: 'the name is too long',
  ELOOP: 'symbolic links go round in a circle',
}

/**
 * What the operating system said about `path` as a FileError that names it. Anything that is no failed system call,
 * such as the reason of an abort, comes back as it is.
 */
export function fileError(operation: string, path: string, cause: unknown): unknown {
  if (!(cause instanceof Error) || !('syscall' in cause)) return cause
  const { code } = cause as NodeJS.ErrnoException
  return new FileError(`${operation}: ${path}: ${reasons[code ?? ''] ?? cause.message}`, { cause })
}

/** `path` if it can be one, else ArgumentError. */
export function checkPath(operation: string, path: unknown): string {
  if (typeof path !== 'string' || path === '' || path.includes('\0'))
    throw new ArgumentError(`${operation}: expected the path of a file, got ${describe(path)}`)
  return path
}
