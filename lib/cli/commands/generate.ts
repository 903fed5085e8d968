import type { Command } from '../command.ts'
import { withInterrupt } from '../interrupt.ts'
import { integer, number } from '../options.ts'

interface Options {
  model: string
  prompt: string
  maxNewTokens: number
  temperature?: number
  topK?: number
  topP?: number
  dtype: 'f32' | 'bf16' | 'int8' | 'int4' | 'auto'
  cacheDtype: 'f32' | 'bf16' | 'int8'
  seed?: number
}

/** heedful generate: continues a prompt, piece by piece, on standard output. */
export const generateCommand: Command = {
  name: 'generate',
  describe: 'continue a prompt with a model',
  register(program) {
    program
      .requiredOption('--model <model>', 'folder, .gguf file or org/name of the Hugging Face Hub')
      .option('--prompt <text>', 'what to continue; empty: from the beginning', '')
      .option('--max-new-tokens <n>', 'tokens to make at most', integer(0), 200)
      .option('--temperature <t>', '0 is greedy; as generation_config.json says unless given, else 1', number(0))
      .option('--top-k <k>', 'only the k most likely tokens', integer(1))
      .option('--top-p <p>', 'only the likeliest tokens with this probability together', number(0, 1))
      .addOption(
        program
          .createOption('--dtype <dtype>', 'what the weights are kept as; auto: as the file has them')
          .choices(['f32', 'bf16', 'int8', 'int4', 'auto'])
          .default('auto'),
      )
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

async function generateText({ model, prompt, dtype, ...options }: Options, signal: AbortSignal): Promise<void> {
  const { pipeline } = await import('../../index.ts')
  await using write = await pipeline('text-generation', model, { dtype, signal })
  for await (const piece of write.stream(prompt, { ...options, signal })) process.stdout.write(piece)
  process.stdout.write('\n')
}
