/**
 * Finds the passages of a folder of text files that are closest in meaning to a question. Passages become vectors once, by a model
 * such as all-MiniLM-L6-v2; the closest are those whose vectors have the largest dot product with the question's.
 *
 *     npm run -s example:semantic-search -- --model models/all-MiniLM-L6-v2 --texts notes "how do I renew my passport?"
 */
import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { pipeline } from '../lib/index.ts'
import { integerOf, runExample } from './run-example.ts'

interface Options {
  model: string
  texts: string
  question: string
  top: number
  json: boolean
}

interface Passage {
  file: string
  line: number
  text: string
}

async function search({ model, texts, question, top, json }: Options, signal: AbortSignal): Promise<void> {
  const say = (text: string): boolean => json || process.stderr.write(text)
  const passages = await passagesOf(texts)
  if (passages.length === 0) throw new Error(`${texts}: no .txt or .md file with text in it`)
  await using embed = await pipeline('feature-extraction', model, { normalize: true, truncation: true, signal })
  const started = performance.now()
  using vectors = await embed(
    passages.map(({ text }) => text),
    { signal },
  ) // [passages, hiddenSize]
  const seconds = (performance.now() - started) / 1000
  say(`${passages.length} passages in ${seconds.toFixed(1)} s\n`)
  using asked = await embed([question], { signal }) // [1, hiddenSize]
  using scores = vectors.matmul(asked.transpose()) // [passages, 1]
  const found = passages
    .map((passage, i) => ({ score: scores.data()[i]!, ...passage }))
    .sort((a, b) => b.score - a.score)
    .slice(0, top)
  if (json)
    process.stdout.write(
      `${JSON.stringify({ example: 'semantic-search', passages: passages.length, seconds, found })}\n`,
    )
  else
    for (const { score, file, line, text } of found)
      process.stdout.write(`${score.toFixed(3)}  ${file}:${line}\n       ${text.replace(/\s+/g, ' ').slice(0, 200)}\n`)
}

/** The paragraphs of all text files below a folder. */
async function passagesOf(folder: string): Promise<Passage[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile() && /\.(txt|md)$/.test(entry.name))
  const passages: Passage[] = []
  for (const { parentPath, name } of files) {
    const path = join(parentPath, name)
    const content = await readFile(path, 'utf8')
    let [line, counted] = [1, 0]
    for (const { 0: text, index } of content.matchAll(/\S[^]*?(?=\s*\n\s*\n|\s*$)/g)) {
      line += content.slice(counted, index).split('\n').length - 1
      counted = index
      passages.push({ file: relative(folder, path), line, text })
    }
  }
  return passages
}

void runExample<Options>({
  usage: `Usage: npm run -s example:semantic-search -- --texts <folder> [--model sentence-transformers/all-MiniLM-L6-v2] [--top 3] [--json] <question>\n`,
  options: {
    model: { type: 'string', default: 'sentence-transformers/all-MiniLM-L6-v2' },
    texts: { type: 'string' },
    top: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
  read: (values, words) => {
    const { model, texts, json } = values
    if (typeof texts !== 'string') throw new TypeError('--texts should be a folder of text files')
    if (words.length === 0) throw new TypeError('what is the question?')
    return {
      model: String(model),
      texts,
      question: words.join(' '),
      top: integerOf(values, 'top', 1),
      json: json === true,
    }
  },
  run: search,
})
