import type { Activation } from '../../ops/index.ts'
import type { DecoderConfig, ResolvedDecoderConfig } from '../decoder-model.ts'

/** What a key of config.json says about the model. */
export interface ConfigKey {
  readonly field: keyof DecoderConfig
  readonly kind: 'size' | 'number' | 'flag' | 'activation'
  /** What a file without the key means; 'derived': what DecoderModel makes of the other fields. None: it is required. */
  readonly default?: unknown
  /** Other keys for the same: read where the first is missing, written as well. */
  readonly also?: readonly string[]
  /** Written only when it is not the default: for keys that only this package knows. */
  readonly own?: true
}

/** Where a tensor of a checkpoint stands in the model. */
export interface WeightRule {
  /** Field path of the parameter. */
  readonly path: string
  /** The checkpoint has it as [inputs, outputs]. */
  readonly transpose?: true
  /** It is these rows of the parameter. */
  readonly rows?: (config: ResolvedDecoderConfig) => readonly [from: number, to: number]
}

/**
 * A family of decoder models as Hugging Face's files have it: which key of config.json is which field of
 * DecoderConfig, and which tensor of the checkpoint is which parameter. Keys may lead into objects ('a.b'); '#' in a
 * name stands for the number of a layer.
 */
export interface Family {
  /** `model_type`. */
  readonly modelType: string
  /** `architectures` that are this; the first is written. */
  readonly architectures: readonly string[]
  readonly config: Readonly<Record<string, ConfigKey>>
  /** Fields that are the same in every model of the family. */
  readonly fixed: Partial<DecoderConfig>
  /** Keys that change the mathematics, with the only value that does not; undefined: none but null. */
  readonly harmless: Readonly<Record<string, unknown>>
  /** Keys that are written as they are. */
  readonly constants: Readonly<Record<string, unknown>>
  readonly weights: Readonly<Record<string, string | WeightRule>>
  /** Names may come without it. */
  readonly prefix: string
  /** Tensors that older versions saved and that are no weights. */
  readonly buffers: readonly string[]
}

/** Activations by the names of Hugging Face; the first name of each is written. */
export const activationNames: Readonly<Record<string, Activation>> = {
  gelu: 'gelu',
  gelu_new: 'geluTanh',
  gelu_pytorch_tanh: 'geluTanh',
  gelu_fast: 'geluTanh',
  relu: 'relu',
  silu: 'silu',
  swish: 'silu',
}
