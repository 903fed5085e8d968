import type { Initialised } from '../../nn/init.ts'
import type { Module } from '../../nn/module.ts'
import type { Activation } from '../../ops/index.ts'
import type { Pooling } from '../pooling.ts'

/** One of the assembled models (decoder, encoder, encoder-decoder), as something that a configuration describes. */
export interface Assembly<Config extends object, Model extends Module> {
  /** Fills in defaults; throws ArgumentError for what makes no sense. */
  resolve(config: Config): Required<Config>
  make(config: Required<Config>, options: Initialised): Model
}

/** What a key of config.json says about the model. */
export interface ConfigKey<Config> {
  readonly field: keyof Config & string
  readonly kind: 'size' | 'count' | 'number' | 'flag' | 'activation' | 'id'
  /** What a file without the key means; 'derived': what the model makes of the other fields. None: it is required. */
  readonly default?: unknown
  /** What null means, which is also written so; as without the key unless said. */
  readonly null?: unknown
  /** Other keys for the same: read where the first is missing, written as well. */
  readonly also?: readonly string[]
  /** Written only when it is not the default: for keys that only this package knows. */
  readonly own?: true
}

/** Keys that say fields together. */
export interface ConfigPart<Config> {
  /** `fields`: what the keys of `config` said; `where` begins the message of every error. */
  read(json: Readonly<Record<string, unknown>>, fields: Partial<Config>, where: string): Partial<Config>
  write(config: Required<Config>): Readonly<Record<string, unknown>>
}

/** What is put on a model, by the names of Hugging Face's tasks; 'none': the bare model; 'encoder': that of a full Transformer alone. */
export type HeadName =
  | 'none'
  | 'causal-lm'
  | 'masked-lm'
  | 'seq2seq-lm'
  | 'sequence-classification'
  | 'token-classification'
  | 'question-answering'
  | 'replaced-tokens'
  | 'encoder'

/** What a head makes of hidden states. */
export interface HeadKind {
  /** It sees each token, or one vector of each sequence. */
  readonly rows: 'each' | Pooling | 'headPooling'
  /**
   * A linear layer before the output, with an activation ('activation', 'headActivation': that of the configuration) and
   * perhaps a norm. Its width is that of the hidden states or of the embeddings.
   */
  readonly dense?: {
    readonly activation: Activation | 'activation' | 'headActivation'
    readonly norm: boolean
    readonly width?: 'embeddingSize'
  }
  /** How many numbers: one for each label or token of the vocabulary ('tied': by the token embedding), or so many. */
  readonly output: 'labels' | 'tied' | number
  /** Whether the output has biases; true unless said. */
  readonly bias?: boolean
}

/** A head, and the tensors of the checkpoint with their field paths in it. */
export interface HeadSpec {
  readonly kind: HeadKind
  readonly weights: Readonly<Record<string, string>>
  /** What the names of the model's tensors begin with under this head, where it is not what the family's do. */
  readonly prefix?: string
  /** It stands on the encoder of a full Transformer alone. */
  readonly encoderOnly?: true
}

/**
 * A family of models as Hugging Face's files have it: which key of config.json is which field of the configuration,
 * and which tensor of the checkpoint is which parameter, of the same shape. Keys may lead into objects ('a.b'); '#' in a
 * name stands for the number of a layer.
 */
export interface Family<Config extends object = any, Model extends Module = any> {
  /** `model_type`. */
  readonly modelType: string
  /** Another layout under the same `model_type`, told by the value of a key. */
  readonly variant?: { readonly key: string; readonly value: unknown }
  readonly assembly: Assembly<Config, Model>
  /** `architectures` that are this, and the head that each has; the first with a head is written. */
  readonly architectures: Readonly<Record<string, HeadName>>
  readonly config: Readonly<Record<string, ConfigKey<Config>>>
  readonly parts?: readonly ConfigPart<Config>[]
  /** Fields that are the same in every model of the family. */
  readonly fixed: Partial<Config>
  /** Keys that change the mathematics, with the only value that does not; undefined: none but null. */
  readonly harmless: Readonly<Record<string, unknown>>
  /** Keys that are written as they are. */
  readonly constants: Readonly<Record<string, unknown>>
  /**
   * Tensors of the checkpoint and the field paths of their parameters; a path that a configuration lacks is left out. A
   * function where one parameter has several names.
   */
  readonly weights: Readonly<Record<string, string>> | ((config: Config) => Readonly<Record<string, string>>)
  /**
   * Parameters that the checkpoint has in parts ('*' in the name: the number of the element; 'path[1/2]': its second half),
   * and what they are called as a whole.
   */
  readonly stacked?: Readonly<Record<string, string>>
  /** What stands on the model for each task, and the tensors of that. */
  readonly heads?: Partial<Readonly<Record<HeadName, HeadSpec>>>
  /** Names may come without it. */
  readonly prefix: string
  /** Tensors that may be there and that are no weights of the model; '#' stands for any number. */
  readonly ignored?: readonly string[]
  /** Ends of names, and how older checkpoints spell them. */
  readonly olderNames?: Readonly<Record<string, string>>
  /** Tensors that may be there as copies of others, where the model has no parameter of their own for them. */
  readonly copies?: Readonly<Record<string, string>>
  /**
   * One of `copies` that unties the embeddings where it differs from its original, whatever config.json says: transformers
   * 5 writes `tie_word_embeddings: true` for every T5.
   */
  readonly untiedBy?: string
  /** A model without biases is written with biases of zero. */
  readonly zeroBiases?: true
}

/** Of decoders: classes of a sequence by its last token, which has seen all of it. */
export const lastTokenClassifier = {
  kind: { rows: 'last', output: 'labels', bias: false },
  weights: { 'score.weight': 'output.weight' },
} as const

/** Of decoders: a class of each token, and where answers begin and end. `prefix` is that of the model under the latter. */
export const tokenHeads = (classifier: string, prefix?: string) =>
  ({
    'token-classification': {
      kind: { rows: 'each', output: 'labels' },
      weights: { [`${classifier}.weight`]: 'output.weight', [`${classifier}.bias`]: 'output.bias' },
    },
    'question-answering': {
      kind: { rows: 'each', output: 2 },
      weights: { 'qa_outputs.weight': 'output.weight', 'qa_outputs.bias': 'output.bias' },
      ...(prefix !== undefined && { prefix }),
    },
  }) as const satisfies Partial<Record<HeadName, HeadSpec>>

/** The name of a tensor without what stands before it under any head. */
export function withoutPrefix({ prefix, heads = {} }: Family, name: string): string {
  const prefixes = [prefix, ...Object.values(heads).map((head) => head.prefix ?? '')]
  return name.slice(prefixes.find((one) => one !== '' && name.startsWith(one))?.length ?? 0)
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
