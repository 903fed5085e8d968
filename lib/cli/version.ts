import { readFileSync } from 'node:fs'

/** Of package.json: lib/cli and dist/cli both lie two levels below it. */
export function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
