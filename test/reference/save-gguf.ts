/**
 * Writes tiny decoders, and the GGUF files that quantizeModel makes of them, for check-gguf.py to compare with what llama.cpp's
 * converter makes: `npx tsx test/reference/save-gguf.ts <folder>`.
 */
import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { quantizeModel } from '../../lib/index.ts'
import { goldens, makeFolder } from './decoder-goldens.ts'

const architectures: Readonly<Record<string, string>> = {
  llama: 'LlamaForCausalLM',
  'llama-linear': 'LlamaForCausalLM',
  'mistral-no-window': 'MistralForCausalLM',
  qwen2: 'Qwen2ForCausalLM',
  qwen3: 'Qwen3ForCausalLM',
  gemma2: 'Gemma2ForCausalLM',
  'gemma3-pattern': 'Gemma3ForCausalLM',
  phi3: 'Phi3ForCausalLM',
  olmo2: 'Olmo2ForCausalLM',
  'gpt-neox': 'GPTNeoXForCausalLM',
}

async function main(target: string): Promise<void> {
  for (const [name, architecture] of Object.entries(architectures)) {
    const { given, config: written, tensors } = goldens.cases[name]!
    // llama.cpp has no key for what Gemma's scores are divided by.
    const own = name.startsWith('gemma') ? { query_pre_attn_scalar: 12 } : {}
    const config = { ...given, ...written, ...own, architectures: [architecture] }
    const folder = await makeFolder({ config, tensors })
    await cp(folder, join(target, name), { recursive: true })
    await quantizeModel(folder, join(target, name, 'out'), { dtype: 'int8' })
    await rm(folder, { recursive: true })
  }
}

const folder = process.argv[2]
if (!folder) throw new Error('expected a folder to write in')
void main(folder)
