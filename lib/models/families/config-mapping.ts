import { isDeepStrictEqual } from 'node:util'
import { ArgumentError, describe, FileError } from '../../errors.ts'
import { isObject } from '../../files/read-file.ts'
import { activationNames, type ConfigKey, type Family, type HeadName } from './family.ts'

type Json = Readonly<Record<string, unknown>>

/** The value at a key such as 'a.b'; undefined where there is none, or null. */
function valueAt(json: Json, key: string): unknown {
  let value: unknown = json
  for (const part of key.split('.'))
    value = isObject(value) && Object.hasOwn(value, part) ? (value as Json)[part] : undefined
  return value ?? undefined
}

/**
 * config.json → the configuration of the family's model. `where` begins the message of every error. Throws ArgumentError, which names the key,
 * for what would change the mathematics and is not supported; FileError for keys that are missing or make no sense.
 */
export function readConfig<Config extends object>(family: Family<Config>, json: Json, where: string): Required<Config> {
  for (const [key, harmless] of Object.entries(family.harmless)) {
    const value = valueAt(json, key)
    if (value === undefined || value === harmless) continue
    const alternative = harmless === undefined ? 'models without it' : `${key} ${JSON.stringify(harmless)}`
    throw new ArgumentError(
      `${where}: ${key} ${JSON.stringify(value).slice(0, 80)} is not supported for ${family.modelType}; supported: ${alternative}`,
    )
  }
  const config: Record<string, unknown> = { ...family.fixed }
  for (const [key, rule] of Object.entries(family.config)) {
    if (rule.null !== undefined && json[key] === null) {
      config[rule.field] = rule.null
      continue
    }
    const found = [key, ...(rule.also ?? [])].find((name) => valueAt(json, name) !== undefined)
    const value = found === undefined ? rule.default : valueAt(json, found)
    if (value === undefined) throw new FileError(`${where}: ${key} is missing`)
    if (found === undefined && value === 'derived') continue
    config[rule.field] = fromJson(rule, value, found ?? key, where)
  }
  for (const part of family.parts ?? []) Object.assign(config, part.read(json, config as Partial<Config>, where))
  try {
    return family.assembly.resolve(config as Config)
  } catch (cause) {
    throw new FileError(`${where}: ${(cause as Error).message}`, { cause })
  }
}

function fromJson<Config>({ kind }: ConfigKey<Config>, value: unknown, key: string, where: string): unknown {
  if (kind === 'activation') {
    if (typeof value === 'string' && Object.hasOwn(activationNames, value)) return activationNames[value]
    const supported = Object.keys(activationNames).join(', ')
    throw new ArgumentError(`${where}: ${key} ${describe(value)} is not supported; supported: ${supported}`)
  }
  const fits =
    kind === 'size'
      ? Number.isSafeInteger(value) && (value as number) > 0
      : kind === 'count' || kind === 'id'
        ? Number.isSafeInteger(value) && (value as number) >= (kind === 'id' ? -1 : 0)
        : typeof value === (kind === 'flag' ? 'boolean' : 'number')
  const expected = {
    size: 'a whole number of at least 1',
    count: 'a whole number',
    id: 'a token id',
    number: 'a number',
    flag: 'true or false',
  }[kind]
  if (!fits) throw new FileError(`${where}: ${key} should be ${expected}, got ${describe(value)}`)
  return value
}

/**
 * The configuration of a model → config.json of this family, with the architecture of a head. Throws ArgumentError, which names the fields, for a model that it can not
 * express: what was written has to read as the model.
 */
export function writeConfig<Config extends object>(
  family: Family<Config>,
  config: Required<Config>,
  head: HeadName,
): Json {
  const json: Record<string, unknown> = {}
  const put = (key: string, value: unknown): void => {
    const parts = key.split('.')
    let target = json
    for (const part of parts.slice(0, -1)) target = (target[part] ??= {}) as Record<string, unknown>
    target[parts.at(-1)!] = value
  }
  const architecture = Object.entries(family.architectures).find(([, its]) => its === head)?.[0]
  if (!architecture) throw new ArgumentError(`${family.modelType}: its checkpoints have no head for ${head}`)
  put('architectures', [architecture])
  put('model_type', family.modelType)
  for (const [key, rule] of Object.entries(family.config)) {
    const value = config[rule.field]
    if (rule.own && value === rule.default) continue
    for (const name of [key, ...(rule.also ?? [])])
      put(name, rule.kind === 'activation' ? activationName(value) : value === rule.null ? null : value)
  }
  for (const part of family.parts ?? []) Object.assign(json, part.write(config))
  for (const [key, value] of Object.entries(family.constants)) put(key, value)
  const read = readConfig(family, json, family.modelType)
  const fields = Object.keys(config) as (keyof Config & string)[]
  const misfits = fields.filter(
    (field) => !isDeepStrictEqual(config[field], read[field]) && field !== ignoredField(config),
  )
  if (misfits.length)
    throw new ArgumentError(
      `${family.modelType}: can not express ${misfits.map((field) => `${field} ${describe(config[field])}`).join(', ')}`,
    )
  return json
}

/** Only rotary positions have a base. */
const ignoredField = (config: object): string | undefined =>
  (config as { positions?: string }).positions === 'rotary' ? undefined : 'ropeTheta'

const activationName = (activation: unknown): unknown =>
  Object.keys(activationNames).find((name) => activationNames[name] === activation) ?? activation
