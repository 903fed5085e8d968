import { Environment, Interpreter, type Template } from '@huggingface/jinja'

/** More than any template needs; a loop over it ends. */
const longestRange = 100_000

/** The text of a template with the names that `transformers` gives to every one. */
export function renderTemplate({ parsed }: Template, values: Readonly<Record<string, unknown>>): string {
  const environment = new Environment()
  for (const [name, value] of Object.entries({ ...globals, ...values })) environment.set(name, value)
  const { value } = new Interpreter(environment).run(parsed) as { value: unknown }
  return String(value)
}

const globals: Readonly<Record<string, unknown>> = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
  range,
  raise_exception: (message: unknown) => {
    throw new Error(String(message))
  },
  strftime_now: (format: unknown) => strftime(new Date(), String(format)),
}

function range(start: number, stop?: number, step = 1): number[] {
  const [from, to] = stop === undefined ? [0, start] : [start, stop]
  const length = Math.max(0, Math.ceil((to - from) / step))
  if (!(length <= longestRange)) throw new Error(`range of ${length} numbers`)
  return Array.from({ length }, (_, i) => from + i * step)
}

const months = 'January February March April May June July August September October November December'.split(' ')
const days = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ')

/** Python's `strftime` in its own language, whatever that of the system. Throws Error for a code that is not known. */
function strftime(date: Date, format: string): string {
  const two = (n: number): string => String(n).padStart(2, '0')
  const codes: Readonly<Record<string, string>> = {
    Y: String(date.getFullYear()),
    y: two(date.getFullYear() % 100),
    m: two(date.getMonth() + 1),
    B: months[date.getMonth()]!,
    b: months[date.getMonth()]!.slice(0, 3),
    d: two(date.getDate()),
    A: days[date.getDay()]!,
    a: days[date.getDay()]!.slice(0, 3),
    H: two(date.getHours()),
    I: two(date.getHours() % 12 || 12),
    p: date.getHours() < 12 ? 'AM' : 'PM',
    M: two(date.getMinutes()),
    S: two(date.getSeconds()),
    '%': '%',
  }
  return format.replace(/%(-?)([^]?)/g, (whole, plain: string, code: string) => {
    const text = Object.hasOwn(codes, code) ? codes[code]! : undefined
    if (text === undefined) throw new Error(`strftime_now: ${JSON.stringify(whole)} is not supported`)
    return plain ? text.replace(/^0(?=.)/, '') : text
  })
}
