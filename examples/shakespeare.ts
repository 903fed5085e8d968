/**
 * Trains a small character GPT on Shakespeare (nanoGPT's configuration for CPUs) and lets it write.
 * `npm start` shows it; `npm run -s example:shakespeare -- --json` prints one line of figures.
 */
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { TrainingDisplay } from '../lib/cli/training-display.ts'
import { splitTokens } from '../lib/data/split.ts'
import { CharTokenizer, generate, GPT } from '../lib/index.ts'
import { adamW, causalLM, Trainer, warmupCosine } from '../lib/train/index.ts'
import { integerOf, runExample } from './run-example.ts'

const context = 64
const batchSize = 12

interface Options {
  json: boolean
  steps: number
  seed: number
  out: string
}

async function shakespeare({ json, steps, seed, out }: Options, signal: AbortSignal): Promise<void> {
  const say = (text: string): boolean => json || process.stderr.write(text)
  const text = await readFile(fileURLToPath(new URL('tinyshakespeare.txt', import.meta.url)), 'utf8')
  const tokenizer = CharTokenizer.train(text)
  const { train, validation } = splitTokens(tokenizer.encode(text))
  const { vocabSize } = tokenizer
  using model = new GPT({ vocabSize, layers: 4, heads: 4, hiddenSize: 128, context, bias: false, seed })
  using trainer = new Trainer(model, {
    task: causalLM({ train, validation, context, tokenizer }),
    steps,
    batchSize,
    optimizer: adamW({ beta1: 0.9, beta2: 0.99, weightDecay: 0.1 }),
    schedule: warmupCosine({ peak: 1e-3, final: 1e-4, warmup: Math.min(100, steps - 1) }),
    seed,
    out,
    signal,
    ...(!json && { evaluateEvery: 250 }),
  })
  say(
    `Training a GPT of ${model.parameterCount.toLocaleString('en')} parameters on ${train.length.toLocaleString('en')} characters of Shakespeare\n`,
  )

  const display = new TrainingDisplay({ steps, tokensPerStep: batchSize * context })
  let rssAfter100Steps = 0
  for await (const event of trainer) {
    display.event(event)
    if (event.step === 100) rssAfter100Steps = process.memoryUsage.rss()
  }
  const rssAtEnd = process.memoryUsage.rss()
  display.finish()
  const { validationLoss } = display.figures()
  const figures = {
    example: 'shakespeare',
    ...display.figures(),
    seed,
    rssAfter100Steps,
    rssAtEnd,
    plannedBytes: trainer.memoryBytes,
  }
  if (json) process.stdout.write(`${JSON.stringify(figures)}\n`)
  else if (!signal.aborted) {
    say(`Validation loss ${validationLoss?.toFixed(3)}. The model writes:\n\n`)
    const prompt = tokenizer.encode('\n')
    for await (const id of generate(model, prompt, { maxNewTokens: 500, temperature: 0.8, seed, signal }))
      process.stdout.write(tokenizer.decode([id]))
    process.stdout.write('\n')
  }
  say(
    `\nSaved in ${out} after ${trainer.step} steps. It writes more with\n  npx heedful generate --model ${out} --prompt "ROMEO:"\n`,
  )
}

void runExample<Options>({
  usage: `Usage: npm start -- [--steps 2000] [--seed 1337] [--out runs/shakespeare] [--json]\n`,
  options: {
    json: { type: 'boolean', default: false },
    steps: { type: 'string', default: '2000' },
    seed: { type: 'string', default: '1337' },
    out: { type: 'string', default: 'runs/shakespeare' },
  },
  read: (values, words) => {
    if (words.length) throw new TypeError(`unexpected argument ${words[0]}`)
    const [steps, seed] = [integerOf(values, 'steps', 2), integerOf(values, 'seed', 0)]
    return { json: values['json'] === true, steps, seed, out: String(values['out']) }
  },
  run: shakespeare,
})
