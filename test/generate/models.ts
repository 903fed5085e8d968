import { DecoderModel, type DecoderConfig } from '../../lib/models/decoder-model.ts'
import { Random } from '../../lib/tensor/random.ts'
import { tensor } from '../../lib/tensor/create.ts'

export const vocabSize = 23
export const context = 12

export const gpt2 = { vocabSize, context, hiddenSize: 32, numLayers: 2, numHeads: 4 }
export const llama: DecoderConfig = {
  ...gpt2,
  numKeyValueHeads: 2,
  norm: 'rms',
  positions: 'rotary',
  gated: true,
  activation: 'silu',
  bias: false,
  tieEmbeddings: false,
}

/** Weights large enough for the most likely tokens to differ from place to place. */
export function modelOf(config: DecoderConfig): DecoderModel {
  const random = new Random(8)
  const model = new DecoderModel(config, { random })
  for (const parameter of model.parameters().values())
    if (parameter.rank > 1) for (const [i] of parameter.data().entries()) parameter.data()[i] = random.normal() * 0.3
  return model
}

/** Logits of every position by one full forward pass, [length][vocabSize]. */
export function forward(model: DecoderModel, tokens: ArrayLike<number>): number[][] {
  using input = tensor([Array.from(tokens)], { dtype: 'i32' })
  using logits = model.forward({ tokens: input })
  return (logits.toArray() as number[][][])[0]!
}
