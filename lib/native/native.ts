/**
 * The whole contract with the addon. Only `ops` and `graph` call what computes; `tensor` owns memory.
 *
 * ## Program code
 *
 * A program is a `Float64Array` of instructions one after another, every number exact:
 *
 *     op, attributeCount, operandCount, …attributes, …operands
 *     operand = slot, dtype, byteOffset, rank, …dims[rank], …strides[rank] (elements), …rowFactors[rank]
 *     absent operand = -1
 *
 * `op` indexes `Native.operations`, `dtype` indexes `Native.dtypes`. Slot 0 is the program's arena, slot i ≥ 1 is
 * binding i of a run, counted from 1: those that the program keeps, then those of the run. Inputs come before outputs, in the order of native/ops/op_list.h.
 *
 * A program may be planned for a capacity of rows and run with fewer: dimension d of an operand is then
 * `dims[d] - rowFactors[d] · (capacity - rows)`.
 */

/** Memory of a tensor: 64-byte aligned, zero-filled, huge pages where offered. */
export interface NativeStorage {
  readonly byteLength: number
  /** The same ArrayBuffer each time. */
  buffer(): ArrayBuffer
  /** Detaches the buffer; the memory goes when no run uses it any more. A second call does nothing. */
  dispose(): void
  /**
   * Puts its memory under a key for all threads of this process, until nobody uses it any more; nobody may write to it
   * from now on. Where memory is under the key already, takes that instead of its own, and gives true. Detaches the
   * buffer.
   */
  share(key: string): boolean
}

export interface NativeStorageClass {
  new (byteLength: number): NativeStorage
  /** The memory that is under a key. */
  shared(key: string): NativeStorage | undefined
  /**
   * Bytes of an open file, aligned as they are there: pages that processes share, read when they are first used and
   * copied when they are written to. The file must not be made shorter. undefined where the system can't map it.
   */
  map(fd: number, position: number, byteLength: number): NativeStorage | undefined
}

export interface NativeProgram {
  /** Bytes of arena and workspace that it keeps. */
  readonly memoryBytes: number
  /**
   * Storages that the bindings of all later runs begin with, in place of those that were kept before. It does not keep
   * them alive: a run after one was disposed throws.
   */
  keep(bindings: NativeStorage[]): void
  /**
   * Queues one run on the executor's thread; `done` is called on this thread with undefined, an Error, or null when
   * it was aborted. Storages are kept alive until then. Returns a ticket for `abort`.
   */
  run(bindings: NativeStorage[], rows: number, done: (error: Error | undefined | null) => void): number
  /** Before the first instruction at or after `commitIndex` starts, an abort stops the run; later ones are ignored. */
  abort(ticket: number): void
  /** Runs on the calling thread. Throws what went wrong. */
  runSync(bindings: NativeStorage[], rows: number): void
  /** Nanoseconds and calls per instruction since profiling was switched on: [ns, calls, ns, calls, …]. */
  profile(): Float64Array
  setProfiling(on: boolean): void
  /** Waits for nothing: queued runs keep what they need. */
  dispose(): void
}

export interface NativeOperation {
  name: string
  inputs: number
  outputs: number
  attributes: number
}

export interface Native {
  readonly operations: readonly NativeOperation[]
  readonly dtypes: readonly string[]
  readonly unaryFunctions: readonly string[]
  readonly binaryFunctions: readonly string[]
  readonly reduceFunctions: readonly string[]
  readonly panelFormats: readonly string[]
  readonly cacheFormats: readonly string[]

  Storage: NativeStorageClass
  /**
   * Checks every instruction for memory safety. `capacity` 0: no symbolic rows. Instructions from `commitIndex` on
   * change state that must not be left half changed: a run that has reached them is not aborted.
   */
  Program: new (
    code: Float64Array,
    arenaBytes: number,
    bindings: number,
    capacity: number,
    commitIndex: number,
  ) => NativeProgram
  /** Runs code once on this thread, without an arena. */
  execute(code: Float64Array, bindings: NativeStorage[]): void

  /** Bytes held by storages, programs and workspaces of this process. */
  liveBytes(): number
  isa(): string
  availableIsas(): string[]
  setIsa(name: string): void
  threads(): number
  setThreads(threads: number): void
  cpuName(): string
  /** Bytes of the data caches of a core; 0 where the system does not tell. */
  cacheBytes(): { L1: number; L2: number; L3: number }
  /** The formats that the instruction set in use computes in, e.g. `f32`. */
  computeFormats(): string[]
  /**
   * What the machine can do at most, with all threads, off the event loop. A format: GFLOP/s in registers. The name of a
   * unary function, or that and ` gradient`: elements a nanosecond, in the nearest cache. `read`,
   * `write`, `copy` and `update` (in place): GB/s (bytes read plus bytes written), each thread in `workingSet` bytes of its own
   * of `memory[0]`. `handshake`: nanoseconds from one thread to another and back. One figure per sample.
   */
  measure(
    name: string,
    samples: number,
    memory: NativeStorage[],
    workingSet: number,
    done: (error: Error | undefined, figures: Float64Array) => void,
  ): void
}
