import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { commands } from '../../lib/cli/commands/index.ts'
import { run } from '../../lib/cli/run.ts'
import { loadDecoder } from '../../lib/models/pretrained.ts'
import { readMetrics } from '../../lib/train/metrics.ts'
import { storiesFolder } from '../reference/stories.ts'
import { writeReferenceModel } from '../reference/weight-values.ts'
import { weightsOf } from '../train/tiny.ts'

const main = fileURLToPath(new URL('../../lib/cli/main.ts', import.meta.url))
const root = fileURLToPath(new URL('../..', import.meta.url))

interface Ended {
  code: number | null
  out: string
  err: string
}

/** `heedful <args>` in a process of its own. */
function start(args: string[], env: NodeJS.ProcessEnv = {}): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, ['--import', 'tsx', main, ...args], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [out, err] = ['', '']
  child.stdout.on('data', (data: Buffer) => (out += data.toString()))
  child.stderr.on('data', (data: Buffer) => (err += data.toString()))
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, out, err }))
  return { child, ended }
}
/** The same in this process. */
async function heedful(...args: string[]): Promise<Ended> {
  let [out, err] = ['', '']
  const stdout = vi.spyOn(process.stdout, 'write').mockImplementation((text) => ((out += text), true))
  const stderr = vi.spyOn(process.stderr, 'write').mockImplementation((text) => ((err += text), true))
  try {
    return { code: await run(commands, args), out, err }
  } finally {
    stdout.mockRestore()
    stderr.mockRestore()
  }
}

let folder: string
let model: string
let first: Ended
const training = (out: string): string[] => [
  ...`train --tokenizer char --layers 1 --heads 2 --hidden-size 64 --context 16 --batch-size 8 --steps 400`.split(' '),
  ...`--evaluate-every 100 --save-every 150 --learning-rate 3e-3 --dropout 0.1 --seed 7 --json`.split(' '),
  '--data',
  join(folder, 'text.txt'),
  '--out',
  out,
]
const metricsOf = async (out: string): Promise<object[]> =>
  (await readMetrics(out)).map((line) => ({ ...line, tokensPerSecond: 0 }))

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'heedful-'))
  await writeFile(join(folder, 'text.txt'), 'The quick brown fox jumps over the lazy dog.\n'.repeat(60))
  model = join(folder, 'model')
  first = await start(training(model), { HEEDFUL_THREADS: '1' }).ended
})
afterAll(() => rm(folder, { recursive: true }))

describe('heedful train', () => {
  it('prints one line of JSON on standard output, all else on standard error, without colours', () => {
    expect(first).toMatchObject({ code: 0, err: expect.stringContaining('npx heedful generate --model') })
    const figures = JSON.parse(first.out) as Record<string, number>
    expect(first.out.trimEnd()).not.toContain('\n')
    expect(figures).toMatchObject({ steps: 400, out: model, interrupted: false })
    expect(figures['loss']).toBeLessThan(1)
    expect(figures['validationLoss']).toBeLessThan(1)
    expect(first.err).not.toContain('\x1b')
  })

  it('writes a line of metrics for every step and evaluation', async () => {
    const lines = await readMetrics(model)
    expect(lines.filter((line) => 'loss' in line).map(({ step }) => step)).toEqual(
      Array.from({ length: 400 }, (_, i) => i + 1),
    )
    expect(lines.filter((line) => 'validationLoss' in line).map(({ step }) => step)).toEqual([100, 200, 300, 400])
  })

  // Windows has no signals that could be caught from outside.
  it.skipIf(process.platform === 'win32')(
    'stops at Ctrl-C and SIGTERM, survives being killed, and goes on bit for bit, on another number of threads',
    async () => {
      const out = join(folder, 'stopped')
      const signals = { SIGINT: 130, SIGTERM: 130, SIGKILL: null } as const
      for (const [i, [signal, code]] of Object.entries(signals).entries()) {
        const args = i === 0 ? training(out) : ['train', '--resume', '--out', out, '--json']
        const { child, ended } = start(args, { HEEDFUL_THREADS: '2' })
        await hasSteps(out, 60 * (i + 1))
        child.kill(signal as NodeJS.Signals)
        const stopped = await ended
        expect(stopped.code).toBe(code)
        if (code === null) continue
        expect(stopped.err).toContain(`npx heedful train --resume --out ${out}`)
        expect(JSON.parse(stopped.out)).toMatchObject({ interrupted: true })
        using usable = await loadDecoder(out)
        expect(usable.config.numLayers).toBe(1)
      }
      await appendFile(join(out, 'metrics.jsonl'), '{"step":')
      expect((await heedful(...training(out), '--resume')).code).toBe(0)
      using resumed = await loadDecoder(out)
      using whole = await loadDecoder(model)
      expect(weightsOf(resumed)).toEqual(weightsOf(whole))
      expect(await metricsOf(out)).toEqual(await metricsOf(model))
    },
  )

  it.each<[string, string[], RegExp]>([
    ['an unknown option', ['--hiden-size', '4'], /unknown option '--hiden-size'; did you mean --hidden-size\?/],
    ['an unknown task', ['--task', 'masked'], /Allowed choices are causal-lm/],
    ['a width that heads do not divide', ['--hidden-size', '10', '--heads', '3'], /10 is not a multiple of --heads 3/],
    ['a warm-up that is too long', ['--steps', '5', '--warmup-steps', '6'], /6 are more than --steps 5/],
    ['a number that is none', ['--learning-rate', 'fast'], /Expected a number of at least 0/],
  ])('%s is wrong usage', async (_, args, message) => {
    const ended = await heedful('train', '--data', 'x', '--out', join(folder, 'none'), ...args)
    expect(ended).toMatchObject({ code: 2, out: '', err: expect.stringMatching(message) })
  })

  it('needs a text and a folder', async () => {
    expect(await heedful('train', '--out', 'x')).toMatchObject({ code: 2, err: expect.stringContaining('--data') })
    expect(await heedful('train', '--data', 'x')).toMatchObject({ code: 2, err: expect.stringContaining('--out') })
  })

  it('fails for files that are missing or unfit, in a sentence', async () => {
    const out = join(folder, 'none')
    await writeFile(join(folder, 'short.txt'), 'abc')
    const cases: [string[], RegExp][] = [
      [['--data', 'nowhere.txt'], /nowhere\.txt: no such file or folder/],
      [['--data', join(folder, 'short.txt')], /use a longer text or a smaller context/],
      [['--resume'], /none holds no run that can be resumed/],
    ]
    for (const [args, message] of cases) {
      const ended = await heedful('train', '--out', out, ...args)
      expect(ended).toMatchObject({ code: 1, out: '', err: expect.stringMatching(message) })
      expect(ended.err).not.toMatch(/^ +at /m)
    }
  })

  it('does not resume what would be another training', async () => {
    const other = await heedful('train', '--resume', '--out', model, '--layers', '2')
    expect(other).toMatchObject({ code: 2, err: expect.stringContaining('--resume goes on with --layers 1, not 2') })
    const bf16 = await heedful('train', '--resume', '--out', model, '--precision', 'bf16')
    expect(bf16).toMatchObject({
      code: 2,
      err: expect.stringContaining('--resume goes on with --precision f32, not bf16'),
    })
    const unknown = await heedful('train', '--out', model, '--precision', 'f16')
    expect(unknown).toMatchObject({ code: 2, err: expect.stringContaining('Allowed choices are f32, bf16') })
    await writeFile(join(folder, 'other.txt'), 'The quick brown fox.\n'.repeat(60))
    const text = await heedful('train', '--resume', '--out', model, '--data', join(folder, 'other.txt'))
    expect(text).toMatchObject({ code: 1, err: expect.stringContaining('not the text that this run was begun with') })
  })
})

/** A spawned process has come so far. */
async function hasSteps(out: string, count: number): Promise<void> {
  for (;;) {
    const lines = await readMetrics(out).catch(() => [])
    if ((lines.at(-1)?.step ?? 0) >= count) return
    await setTimeout(5)
  }
}

describe('heedful quantize', () => {
  it('the new folder generates', async () => {
    const out = join(folder, 'bf16')
    const quantized = await heedful('quantize', '--model', model, '--dtype', 'bf16', '--out', out)
    expect(quantized).toEqual({ code: 0, err: '', out: `${join(out, 'model.safetensors')} (safetensors)\n` })
    const args = ['--prompt', 'The quick', '--temperature', '0', '--max-new-tokens', '16']
    expect(await heedful('generate', '--model', out, ...args)).toMatchObject({ code: 0, out: ' brown fox jumps\n' })
  })

  it('a GGUF file tells the story', async () => {
    const out = join(folder, 'int8')
    expect(await heedful('quantize', '--model', storiesFolder, '--dtype', 'int8', '--out', out)).toMatchObject({
      code: 0,
      out: `${join(out, 'model.gguf')} (gguf)\n`,
    })
    const args = ['--prompt', 'Once upon a time', '--temperature', '0', '--max-new-tokens', '12']
    expect(await heedful('generate', '--model', out, ...args)).toMatchObject({
      code: 0,
      out: expect.stringContaining('there was a little girl'),
    })
  })

  it('wants a model, a dtype and a folder', async () => {
    expect(await heedful('quantize', '--model', model, '--out', 'x')).toMatchObject({
      code: 2,
      err: expect.stringContaining('--dtype'),
    })
    expect(await heedful('quantize', '--model', model, '--dtype', 'int3', '--out', 'x')).toMatchObject({
      code: 2,
      err: expect.stringMatching(/Allowed choices are bf16, int8, int4/),
    })
  })
})

describe('heedful generate', () => {
  const greedy = (...args: string[]): Promise<Ended> =>
    heedful('generate', '--model', model, '--temperature', '0', '--max-new-tokens', '12', ...args)

  it('continues a prompt without repeating it, the same on any number of threads', async () => {
    const args = ['generate', '--model', model, '--prompt', 'The quick', '--temperature', '0', '--max-new-tokens', '16']
    const { ended } = start(args, { HEEDFUL_THREADS: '2' })
    expect(await ended).toEqual({ code: 0, out: ' brown fox jumps\n', err: '' })
  })

  it('begins by itself without a prompt', async () => {
    expect(await greedy()).toEqual({ code: 0, out: 'The quick br\n', err: '' })
  })

  it('gives the same text for the same seed', async () => {
    const args = ['generate', '--model', model, '--temperature', '2', '--max-new-tokens', '40', '--seed']
    const text = await heedful(...args, '1')
    expect(await heedful(...args, '1')).toEqual(text)
    expect(await heedful(...args, '2')).not.toEqual(text)
  })

  it('fails for a folder that is none, and for characters that the model does not know', async () => {
    expect(await heedful('generate', '--model', join(folder, 'nowhere'))).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringContaining('no such file or folder'),
    })
    expect(await greedy('--prompt', '€')).toMatchObject({
      code: 1,
      err: expect.stringContaining('not in the vocabulary'),
    })
    expect(await greedy('--top-p', '2')).toMatchObject({ code: 2 })
  })

  it('needs a prompt when the tokenizer has nothing to begin with', async () => {
    const other = join(folder, 'letters')
    await mkdir(other)
    for (const name of ['config.json', 'model.safetensors'])
      await writeFile(join(other, name), await readFile(join(model, name)))
    const tokenizer = await readFile(join(model, 'tokenizer.json'), 'utf8')
    await writeFile(join(other, 'tokenizer.json'), tokenizer.replace('"\\n"', '"~"'))
    const args = ['generate', '--model', other, '--temperature', '0', '--max-new-tokens', '6']
    expect(await heedful(...args, '--prompt', 'The quick')).toMatchObject({ code: 0, out: ' brown\n' })
    expect(await heedful(...args)).toMatchObject({ code: 1, err: expect.stringContaining('give a prompt') })
  })

  const endless = (): string[] => ['generate', '--model', model, '--max-new-tokens', '100000000']

  it('ends without a word when its reader has seen enough', async () => {
    const { child, ended } = start(endless())
    child.stdout!.once('data', () => child.stdout!.destroy())
    expect(await ended).toMatchObject({ code: 0, err: '' })
  })

  it.skipIf(process.platform === 'win32')('ends with 130 at Ctrl-C', async () => {
    const { child, ended } = start(endless())
    await once(child.stdout!, 'data')
    child.kill('SIGINT')
    expect(await ended).toMatchObject({ code: 130, err: '' })
  })
})

it.skipIf(process.platform === 'win32')('heedful quantize leaves no half file at Ctrl-C', async () => {
  const source = join(folder, 'large')
  const config = { model_type: 'llama', architectures: ['LlamaForCausalLM'], vocab_size: 40_000, hidden_size: 512 }
  const sizes = { intermediate_size: 1024, num_hidden_layers: 1, num_attention_heads: 8, tie_word_embeddings: true }
  const layer = 'model.layers.0.'
  await mkdir(source)
  await writeReferenceModel(
    source,
    { ...config, ...sizes, rms_norm_eps: 1e-5 },
    {
      'model.embed_tokens.weight': [40_000, 512],
      'model.norm.weight': [512],
      [`${layer}input_layernorm.weight`]: [512],
      [`${layer}post_attention_layernorm.weight`]: [512],
      ...Object.fromEntries(['q', 'k', 'v', 'o'].map((name) => [`${layer}self_attn.${name}_proj.weight`, [512, 512]])),
      [`${layer}mlp.gate_proj.weight`]: [1024, 512],
      [`${layer}mlp.up_proj.weight`]: [1024, 512],
      [`${layer}mlp.down_proj.weight`]: [512, 1024],
    },
  )
  const out = join(folder, 'narrow')
  const { child, ended } = start(['quantize', '--model', source, '--dtype', 'int8', '--out', out])
  const written = async (): Promise<string[]> =>
    (await readdir(out).catch(() => [])).filter((name) => /gguf/.test(name))
  while (child.exitCode === null && (await written()).length === 0) await setTimeout(2)
  child.kill('SIGINT')
  expect((await ended).code).toBe(130)
  expect(await written()).toEqual([])
})

it('heedful info --json tells the threads of HEEDFUL_THREADS', async () => {
  const { code, out, err } = await start(['info', '--json'], { HEEDFUL_THREADS: '3' }).ended
  expect([code, err]).toEqual([0, ''])
  expect(JSON.parse(out)).toMatchObject({ threads: 3 })
})
