/** The part of check-minilm.py in this package: npx tsx test/reference/embed-texts.ts folder dtype texts.json vectors.json */
import { readFile, writeFile } from 'node:fs/promises'
import { AutoTokenizer } from '../../lib/models/auto-tokenizer.ts'
import { AutoModel } from '../../lib/models/auto.ts'
import { readEmbeddingRecipe } from '../../lib/models/embedding-recipe.ts'

const [folder, dtype, input, output] = process.argv.slice(2) as [string, string, string, string]
const texts = JSON.parse(await readFile(input, 'utf8')) as string[]
const tokenizer = await AutoTokenizer.fromPretrained(folder)
const { pooling, normalize, maxLength, lowerCase } = (await readEmbeddingRecipe(folder))!
using model = await AutoModel.fromPretrained(folder, (dtype === 'f32' ? {} : { dtype }) as object)
const vectors: number[][] = []
for (let from = 0; from < texts.length; from += 64) {
  const some = texts.slice(from, from + 64).map((text) => (lowerCase ? text.toLowerCase() : text))
  const rows = tokenizer(some, { truncation: true, ...(maxLength && { maxLength }) })
  using made = await model.embed(
    { inputIds: rows.inputIds, ...(rows.tokenTypeIds && { tokenTypeIds: rows.tokenTypeIds }) },
    { pooling, normalize },
  )
  vectors.push(...(made.toArray() as number[][]))
}
await writeFile(output, JSON.stringify(vectors))
