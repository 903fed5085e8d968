import type { HeadSpec } from './family.ts'

type Names = Readonly<Record<string, string>>

/** The weight and the bias of a layer: its name in the file, and its path in the model. */
export const pair = (inFile: string, inModel: string): Names => ({
  [`${inFile}.weight`]: `${inModel}.weight`,
  [`${inFile}.bias`]: `${inModel}.bias`,
})

/** The tensors of BERT's embeddings and of its attention, all of which begin with `prefix`. */
export const bertAttention = (prefix: string): Names => ({
  [`${prefix}embeddings.word_embeddings.weight`]: 'tokenEmbedding.weight',
  [`${prefix}embeddings.position_embeddings.weight`]: 'positionEmbedding.weight',
  [`${prefix}embeddings.token_type_embeddings.weight`]: 'typeEmbedding.weight',
  ...pair(`${prefix}embeddings.LayerNorm`, 'embeddingNorm'),
  ...pair(`${prefix}embeddings_project`, 'embeddingProjection'),
  ...pair(`${prefix}encoder.layer.#.attention.self.query`, 'layers.#.attention.query'),
  ...pair(`${prefix}encoder.layer.#.attention.self.key`, 'layers.#.attention.key'),
  ...pair(`${prefix}encoder.layer.#.attention.self.value`, 'layers.#.attention.value'),
  ...pair(`${prefix}encoder.layer.#.attention.output.dense`, 'layers.#.attention.output'),
  ...pair(`${prefix}encoder.layer.#.attention.output.LayerNorm`, 'layers.#.attentionNorm'),
})

/** Those of BERT and of its relatives that kept its names. */
export const bertWeights = (prefix: string): Names => ({
  ...bertAttention(prefix),
  ...pair(`${prefix}encoder.layer.#.intermediate.dense`, 'layers.#.mlp.up'),
  ...pair(`${prefix}encoder.layer.#.output.dense`, 'layers.#.mlp.down'),
  ...pair(`${prefix}encoder.layer.#.output.LayerNorm`, 'layers.#.mlpNorm'),
})

/** One linear layer, for a class of each token. */
export const tokenClassifier = (name: string): HeadSpec => ({
  kind: { rows: 'each', output: 'labels' },
  weights: pair(name, 'output'),
})

/** One linear layer, for the scores of a start and of an end at each token. */
export const answerScores = (name: string): HeadSpec => ({
  kind: { rows: 'each', output: 2 },
  weights: pair(name, 'output'),
})

/** How checkpoints called the weights of norms once. */
export const olderNormNames: Names = { 'LayerNorm.weight': 'LayerNorm.gamma', 'LayerNorm.bias': 'LayerNorm.beta' }
