/**
 * Checks whole vocabularies that are too large or not free to keep here:
 *
 *     npx tsx test/reference/tokenizers/check-vocabularies.ts <folder with ggml-vocab-*.gguf, .inp and .out of llama.cpp>
 *
 * With those of gpt-2, llama-spm and bert-bge (llama.cpp c392e50) all of 46 texts each have the same ids.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { tokenizerFromGguf } from '../../../lib/index.ts'
import { ggufMetadata } from '../../text/gguf-metadata.ts'

const folder = process.argv[2]!
for (const name of readdirSync(folder).filter((file) => file.endsWith('.gguf'))) {
  const tokenizer = tokenizerFromGguf(ggufMetadata(readFileSync(join(folder, name))))
  const texts = readFileSync(join(folder, `${name}.inp`), 'utf8').split('\n__ggml_vocab_test__\n')
  const lines = readFileSync(join(folder, `${name}.out`), 'utf8').split('\n')
  let same = 0
  for (const [i, text] of texts.entries()) {
    const ids = [...tokenizer.encode(text, { addSpecialTokens: false })].join(' ')
    if (ids === lines[i]!.trim()) same++
    else console.log(JSON.stringify(text), '\n  got     ', ids, '\n  expected', lines[i]!.trim())
  }
  console.log(`${name}: ${same} of ${texts.length}`)
  if (same < texts.length) process.exitCode = 1
}
