import type { EncoderDecoderForTask } from './encoder-decoder-for-task.ts'
import type { EncoderForTask } from './encoder-for-task.ts'
import type { HeadName } from './families/index.ts'
import type { LoadOptions } from './load-model.ts'
import { loadForTask, type TextModel } from './pretrained.ts'

export type { TextModel } from './pretrained.ts'

interface AutoClass<M> {
  /**
   * Opens a folder of Hugging Face's transformers (config.json with model.safetensors, or with its parts and their
   * index), a GGUF file, or an id of the Hub (`resolveModel` tells of both ids and options). Throws ArgumentError for a
   * model or a task that is not supported, FileError and ShapeError for files that are missing, damaged or don't
   * belong together, HubError; each says what is supported, or names the file and the key or tensor.
   */
  fromPretrained(model: string, options?: LoadOptions): Promise<M>
}

const auto = <M extends TextModel>(name: string, task: HeadName): AutoClass<M> => ({
  fromPretrained: async (model, options = {}) =>
    (await loadForTask(`${name}.fromPretrained`, model, task, options)) as M,
})

/** The bare model: its hidden states. Of an encoder-decoder model if the type argument says so. */
export const AutoModel = {
  fromPretrained: async <M extends TextModel | EncoderDecoderForTask = TextModel>(
    model: string,
    options: LoadOptions = {},
  ): Promise<M> => (await loadForTask('AutoModel.fromPretrained', model, 'none', options)) as M,
}
/** What makes hidden states of a text: AutoModel's, but of a full Transformer (T5) the encoder alone. */
export const AutoModelForTextEncoding = auto<TextModel>('AutoModelForTextEncoding', 'encoder')
export const AutoModelForMaskedLM = auto<EncoderForTask>('AutoModelForMaskedLM', 'masked-lm')
export const AutoModelForSequenceClassification = auto<TextModel>(
  'AutoModelForSequenceClassification',
  'sequence-classification',
)
export const AutoModelForTokenClassification = auto<TextModel>(
  'AutoModelForTokenClassification',
  'token-classification',
)
export const AutoModelForQuestionAnswering = auto<TextModel>('AutoModelForQuestionAnswering', 'question-answering')
/** ELECTRA's discriminator: a score for each token, above 0 where it looks replaced. */
export const AutoModelForPreTraining = auto<EncoderForTask>('AutoModelForPreTraining', 'replaced-tokens')
