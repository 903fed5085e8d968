import type { Shape } from '../tensor/shape.ts'
import type { ResolvedDecoderConfig } from './decoder-model.ts'

/**
 * The shape that a DecoderModel of this configuration gives the parameter at `path`; undefined for a path that it never
 * has. Biases are told even when the model has none. Nothing is allocated: this is how a file is compared with its
 * configuration before a model is made.
 */
export function parameterShape(config: ResolvedDecoderConfig, path: string): Shape | undefined {
  const { vocabSize, hiddenSize, numHeads, numKeyValueHeads, headDim, intermediateSize, context, gated } = config
  const width = numHeads * headDim
  const linear = (name: string, outputs: number, inputs: number): Record<string, Shape> => ({
    [`${name}.weight`]: [outputs, inputs],
    [`${name}.bias`]: [outputs],
  })
  const norm = (name: string): Record<string, Shape> => ({
    [`${name}.weight`]: [hiddenSize],
    [`${name}.bias`]: [hiddenSize],
  })
  const shapes: Record<string, Shape> = {
    'tokenEmbedding.weight': [vocabSize, hiddenSize],
    'positionEmbedding.weight': [context, hiddenSize],
    ...norm('layers.#.attentionNorm'),
    ...linear('layers.#.attention.qkv', width + 2 * numKeyValueHeads * headDim, hiddenSize),
    ...linear('layers.#.attention.output', hiddenSize, width),
    ...norm('layers.#.mlpNorm'),
    ...(gated
      ? linear('layers.#.mlp.gateUp', 2 * intermediateSize, hiddenSize)
      : linear('layers.#.mlp.up', intermediateSize, hiddenSize)),
    ...linear('layers.#.mlp.down', hiddenSize, intermediateSize),
    ...norm('norm'),
    'head.weight': [vocabSize, hiddenSize],
  }
  return shapes[path.replace(/^layers\.\d+\./, 'layers.#.')]
}
