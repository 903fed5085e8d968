import './ops/methods.ts'

export {
  ArgumentError,
  DisposedError,
  DTypeError,
  ExecutionError,
  FileError,
  HeedfulError,
  HubError,
  NativeLoadError,
  ShapeError,
  TraceError,
} from './errors.ts'
export { runtime } from './runtime.ts'
export type { DType, TypedArrays } from './tensor/dtype.ts'
export type { Shape } from './tensor/shape.ts'
export { tensor } from './tensor/create.ts'
export { Random } from './tensor/random.ts'
export { liveBytes, Parameter, Tensor, type NestedNumbers } from './tensor/tensor.ts'
export * as ops from './ops/index.ts'
export { grad, valueAndGrad, type Differentiable, type GradientsOf } from './ops/gradients.ts'
export { compile, type Compiled, type CompileOptions, type RunOptions } from './graph/compile.ts'
export * as nn from './nn/index.ts'
export { DecoderModel, type DecoderConfig, type DecoderInputs } from './models/decoder-model.ts'
export { loadDecoder, saveDecoder } from './models/pretrained.ts'
export {
  AutoModel,
  AutoModelForMaskedLM,
  AutoModelForPreTraining,
  AutoModelForQuestionAnswering,
  AutoModelForSequenceClassification,
  AutoModelForTextEncoding,
  AutoModelForTokenClassification,
} from './models/auto.ts'
export type { EncoderDecoderForTask, Seq2SeqOutputs } from './models/encoder-decoder-for-task.ts'
export type { Seq2SeqInputs } from './models/seq2seq-inputs.ts'
export type { EncoderForTask } from './models/encoder-for-task.ts'
export type { ModelOutputs, TaskRunOptions } from './models/packed-task-model.ts'
export {
  readEmbeddingRecipe,
  readRankingFunction,
  type EmbeddingRecipe,
  type RankingFunction,
} from './models/embedding-recipe.ts'
export type { ModelInputs } from './models/model-inputs.ts'
export type { TaskLabels } from './models/objectives.ts'
export { AutoModelForCausalLM, type CausalLM } from './generate/causal-lm.ts'
export { AutoModelForSeq2SeqLM, type Seq2SeqLM } from './generate/seq2seq-lm.ts'
export type { CausalGenerateOptions, Seq2SeqGenerateOptions } from './generate/generation-options.ts'
export type { DecoderForTask } from './models/decoder-for-task.ts'
export { GPT, type GptOptions } from './models/gpt.ts'
export { generate, type GenerateOptions } from './generate/generate.ts'
export type { Checkpoint, CheckpointOptions, CheckpointTensor, ReadOptions } from './checkpoint/checkpoint.ts'
export { openCheckpoint } from './checkpoint/open-checkpoint.ts'
export { ggufModel, type GgufModel, type GgufTensorName } from './checkpoint/gguf-model.ts'
export { resolveModel, type ResolveModelOptions } from './checkpoint/resolve-model.ts'
export { quantizeModel, type QuantizedModel, type QuantizeModelOptions } from './models/quantize-model.ts'
export type { OnProgress, Progress } from './files/progress.ts'
export { writeCheckpoint, type WriteCheckpointOptions } from './checkpoint/write-checkpoint.ts'
export { pipeline, type PipelineOf, type TaskName } from './pipelines/pipeline.ts'
export type { AggregationStrategy, EntityGroup, TokenEntity } from './pipelines/entities.ts'
export type { FeatureExtractionOptions } from './pipelines/feature-extraction.ts'
export type { FillMaskOptions, MaskFilling } from './pipelines/fill-mask.ts'
export type { Answer, Question, QuestionAnsweringOptions } from './pipelines/question-answering.ts'
export type { Classification, TextClassificationOptions } from './pipelines/text-classification.ts'
export type { GeneratedText, Prompt, TextGenerationOptions } from './pipelines/text-generation.ts'
export type { RankedDocument, RankingQuery, TextRankingOptions } from './pipelines/text-ranking.ts'
export type { Text2TextAnswer, Text2TextOptions } from './pipelines/text2text-generation.ts'
export type { TokenClassificationOptions } from './pipelines/token-classification.ts'
export { readSafetensors, writeSafetensors } from './checkpoint/safetensors.ts'
export { CharTokenizer } from './text/char-tokenizer.ts'
export type { ChatMessage, ChatTemplateOptions } from './text/chat-template.ts'
export { tokenizerFromGguf } from './text/gguf-vocabulary.ts'
export {
  trainTokenizer,
  type TokenizerTrainingOptions,
  type TokenizerTrainingProgress,
} from './text/training/train-tokenizer.ts'
export { AutoConfig, type ModelConfig } from './models/auto-config.ts'
export { AutoTokenizer } from './models/auto-tokenizer.ts'
export { loadTokenizer } from './text/load-tokenizer.ts'
export type { Encoding, EncodingOptions } from './text/encoding.ts'
export type { DecodingOptions, TokenDecoder, Tokenizer } from './text/tokenizer.ts'
