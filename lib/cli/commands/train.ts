import { resolve } from 'node:path'
import { Option, type Command as Program } from 'commander'
import type { Command } from '../command.ts'
import { withInterrupt } from '../interrupt.ts'
import { integer, number } from '../options.ts'
import { resumedSettings, saveSettings, type TrainSettings } from '../train-settings.ts'

interface Options extends TrainSettings {
  resume?: boolean
  json?: boolean
  out: string
}

/** heedful train: a language model from a text, into a folder that generates. */
export const train: Command = {
  name: 'train',
  describe: 'train a language model on a text',
  register(program) {
    program
      .addOption(new Option('--task <task>', 'what to learn').choices(['causal-lm']).default('causal-lm'))
      .option('--data <file>', 'text to learn from, UTF-8; its last tenth is held out for validation')
      .option('--tokenizer <char|folder>', 'char: one token per character; else a folder with a tokenizer.json', 'char')
      .option('--layers <n>', 'layers', integer(1), 4)
      .option('--heads <n>', 'attention heads', integer(1), 4)
      .option('--hidden-size <n>', 'width of the model, a multiple of the heads', integer(1), 128)
      .option('--context <n>', 'tokens that the model sees at once', integer(1), 64)
      .option('--dropout <p>', 'share of activations to drop while training', number(0, 0.99), 0)
      .option('--batch-size <n>', 'sequences per step', integer(1), 12)
      .option('--steps <n>', 'optimizer steps', integer(1), 2000)
      .option('--learning-rate <r>', 'the highest; it warms up, then falls to a tenth by a cosine', number(0), 1e-3)
      .option('--warmup-steps <n>', 'steps of rising learning rate (default: 100, fewer for short runs)', integer(0))
      .option('--weight-decay <d>', 'AdamW, on matrices only', number(0), 0.1)
      .option('--evaluate-every <n>', 'validation loss after every so many steps and at the end', integer(1), 250)
      .option('--save-every <n>', 'save after every so many steps and at the end', integer(1), 250)
      .addOption(
        new Option('--precision <p>', 'what matrix products multiply; sums and parameters are f32')
          .choices(['f32', 'bf16'])
          .default('f32'),
      )
      .option('--seed <n>', 'same seed, same model, bit for bit', integer(0, 2 ** 31 - 1), 1337)
      .requiredOption('--out <folder>', 'where the model goes')
      .option('--resume', 'go on with the run in --out, with its options')
      .option('--json', 'print one line of JSON at the end')
      .action(async (options: Options, command: Program) => {
        const settings = await settingsOf(options, command)
        await withInterrupt((signal) => run(settings, options, signal))
      })
  },
}

async function settingsOf({ resume, json: _, out, ...chosen }: Options, command: Program): Promise<TrainSettings> {
  const given = Object.keys(chosen).filter((name) => command.getOptionValueSource(name) === 'cli')
  const wrong = (message: string): never => command.error(`error: ${message}`)
  if (chosen.data !== undefined) chosen.data = resolve(chosen.data)
  if (chosen.tokenizer !== 'char') chosen.tokenizer = resolve(chosen.tokenizer)
  const settings = resume ? await resumedSettings(out, chosen, given, wrong) : chosen
  if (settings.data === undefined) wrong("required option '--data <file>' not specified")
  if (settings.hiddenSize % settings.heads)
    wrong(`--hidden-size ${settings.hiddenSize} is not a multiple of --heads ${settings.heads}`)
  if ((settings.warmupSteps ?? 0) > settings.steps)
    wrong(`--warmup-steps ${settings.warmupSteps} are more than --steps ${settings.steps}`)
  return settings
}

async function run(settings: TrainSettings, { out, resume, json }: Options, signal: AbortSignal): Promise<void> {
  const { openText } = await import('../train-data.ts')
  const { GPT } = await import('../../index.ts')
  const { adamW, causalLM, readMetrics, startRun, Trainer, warmupCosine } = await import('../../train/index.ts')
  const { TrainingDisplay } = await import('../training-display.ts')
  const say = (text: string): boolean => process.stderr.write(`${text}\n`)

  const { layers, heads, hiddenSize, context, dropout, batchSize, steps, learningRate, seed } = settings
  const { tokenizer, sha256, train, validation } = await openText(settings, say)
  using model = new GPT({
    vocabSize: tokenizer.vocabSize,
    layers,
    heads,
    hiddenSize,
    context,
    dropout,
    bias: false,
    seed,
  })
  using trainer = new Trainer(model, {
    task: causalLM({ train, ...(validation && { validation }), context, tokenizer }),
    steps,
    batchSize,
    optimizer: adamW({ beta2: 0.99, weightDecay: settings.weightDecay }),
    schedule: warmupCosine({
      peak: learningRate,
      warmup: settings.warmupSteps ?? Math.min(100, Math.floor(steps / 10)),
    }),
    evaluateEvery: settings.evaluateEvery,
    saveEvery: settings.saveEvery,
    precision: settings.precision,
    seed,
    out,
    signal,
  })
  if (!resume) await startRun(out)
  await saveSettings(out, { ...settings, sha256 })
  const before = resume ? await trainer.resume() : 0
  say(
    `${before ? `Going on after step ${before} with` : 'Training'} a GPT of ${model.parameterCount.toLocaleString('en')} parameters on ${train.length.toLocaleString('en')} tokens`,
  )

  const earlier = before ? (await readMetrics(out)).filter(({ step }) => step <= before) : []
  const display = new TrainingDisplay({ steps, tokensPerStep: batchSize * context, earlier })
  for await (const event of trainer) display.event(event)
  display.finish()
  say(
    signal.aborted
      ? `Stopped after step ${trainer.step} of ${steps}, saved in ${out}. Go on with\n  npx heedful train --resume --out ${out}`
      : `Saved in ${out}. It writes with\n  npx heedful generate --model ${out} --prompt "…"`,
  )
  if (json) process.stdout.write(`${JSON.stringify({ ...display.figures(), out, interrupted: signal.aborted })}\n`)
}
