import { ArgumentError } from '../../errors.ts'
import type { Tokenizer } from '../../text/tokenizer.ts'
import type { Command } from '../command.ts'
import { withInterrupt } from '../interrupt.ts'
import { integer, number } from '../options.ts'

interface Options {
  model: string
  prompt: string
  maxNewTokens: number
  temperature: number
  topK?: number
  topP?: number
  minP?: number
  cacheDtype: 'f32' | 'bf16' | 'int8'
  seed?: number
}

/** heedful generate: continues a prompt, piece by piece, on standard output. */
export const generateCommand: Command = {
  name: 'generate',
  describe: 'continue a prompt with a model',
  register(program) {
    program
      .requiredOption('--model <folder>', 'folder of the model')
      .option('--prompt <text>', 'what to continue; empty: from the beginning', '')
      .option('--max-new-tokens <n>', 'tokens to make at most', integer(0), 200)
      .option('--temperature <t>', '0 is greedy', number(0), 1)
      .option('--top-k <k>', 'only the k most likely tokens', integer(1))
      .option('--top-p <p>', 'only the likeliest tokens with this probability together', number(0, 1))
      .option('--min-p <p>', 'only tokens with this share of the probability of the likeliest', number(0, 1))
      .addOption(
        program
          .createOption('--cache-dtype <dtype>', 'what the key-value cache stores')
          .choices(['f32', 'bf16', 'int8'])
          .default('f32'),
      )
      .option('--seed <n>', 'same seed, same text', integer(0))
      .action(async (options: Options) => withInterrupt((signal) => generateText(options, signal)))
  },
}

async function generateText({ model: folder, prompt, ...sampling }: Options, signal: AbortSignal): Promise<void> {
  const { generate, loadDecoder, loadTokenizer } = await import('../../index.ts')
  const tokenizer = await loadTokenizer(folder)
  using model = await loadDecoder(folder, { signal })
  const ids = prompt === '' ? beginning(tokenizer) : tokenizer.encode(prompt)
  const stopTokens = tokenizer.eosTokenId === undefined ? [] : [tokenizer.eosTokenId]
  const decoder = tokenizer.decoder()
  for await (const id of generate(model, ids, { ...sampling, stopTokens, signal }))
    process.stdout.write(decoder.push(id))
  process.stdout.write(`${decoder.flush()}\n`)
}

/** Without a beginning-of-sequence token a line break is as good a beginning as there is. */
function beginning(tokenizer: Tokenizer): Int32Array {
  if (tokenizer.bosTokenId !== undefined) return Int32Array.of(tokenizer.bosTokenId)
  try {
    return tokenizer.encode('\n')
  } catch (cause) {
    throw new ArgumentError(
      'generate: the tokenizer has neither a beginning-of-sequence token nor line breaks to begin with; give a --prompt',
      { cause },
    )
  }
}
