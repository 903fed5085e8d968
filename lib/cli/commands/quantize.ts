import type { Progress } from '../../files/progress.ts'
import type { Command } from '../command.ts'
import { withInterrupt } from '../interrupt.ts'
import { formatCount } from '../progress.ts'
import { StatusLine } from '../terminal.ts'

interface Options {
  model: string
  dtype: 'bf16' | 'int8' | 'int4'
  out: string
}

/** heedful quantize: a model with narrower weights, in a folder of its own. */
export const quantizeCommand: Command = {
  name: 'quantize',
  describe: 'write a model with narrower weights: a GGUF file (int8, int4), or bf16 safetensors',
  register(program) {
    program
      .requiredOption('--model <model>', 'folder, .gguf file or org/name of the Hugging Face Hub')
      .addOption(
        program
          .createOption('--dtype <dtype>', 'int8: Q8_0, int4: Q4_0, in a GGUF file; bf16: in the format of the model')
          .choices(['bf16', 'int8', 'int4'])
          .makeOptionMandatory(),
      )
      .requiredOption('--out <folder>', 'where the new model goes, with configuration and tokenizer')
      .action(async (options: Options) => withInterrupt((signal) => quantize(options, signal)))
  },
}

async function quantize({ model, dtype, out }: Options, signal: AbortSignal): Promise<void> {
  const { quantizeModel } = await import('../../index.ts')
  const line = new StatusLine(process.stderr, () => performance.now())
  const onProgress = ({ loaded, total }: Progress): void =>
    line.update(() => `${formatCount(loaded)}B of ${formatCount(total)}B`)
  try {
    const { path, format } = await quantizeModel(model, out, { dtype, signal, onProgress })
    line.clear()
    process.stdout.write(`${path} (${format})\n`)
  } finally {
    line.clear()
  }
}
