import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

/** A peer in a process of its own that answers a line with a line, and waits for its turn without using a core. */
export interface Peer {
  /** What it says first: its version. */
  readonly version: string
  ask(line: string): Promise<string>
  end(): void
}

export async function startPeer(
  command: string,
  args: readonly string[],
  threads: number,
  missing: string,
): Promise<Peer> {
  const env = { ...process.env, OMP_NUM_THREADS: String(threads), MKL_NUM_THREADS: String(threads) }
  const child = spawn(command, args, { env, stdio: ['pipe', 'pipe', 'inherit'] })
  child.on('error', () => {})
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async (): Promise<string> => {
    const { value, done } = await lines.next()
    if (done) throw new Error(missing)
    return value as string
  }
  return {
    version: await next(),
    ask: (line) => {
      child.stdin.write(`${line}\n`)
      return next()
    },
    end: () => child.stdin.end(),
  }
}

export const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!
