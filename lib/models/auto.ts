import type { EncoderDecoderForTask } from './encoder-decoder-for-task.ts'
import type { EncoderForTask } from './encoder-for-task.ts'
import type { HeadName } from './families/index.ts'
import type { LoadOptions } from './load-model.ts'
import { loadBare, loadEncoder, loadSeq2Seq } from './pretrained.ts'

interface AutoClass<Model> {
  /**
   * Opens a folder of Hugging Face's transformers (config.json with model.safetensors, or with its parts and their
   * index), a GGUF file, or an id of the Hub (`resolveModel` tells of both ids and options). Throws ArgumentError for a
   * model or a task that is not supported, FileError and ShapeError for files that are missing, damaged or don't
   * belong together, HubError; each says what is supported, or names the file and the key or tensor.
   */
  fromPretrained(model: string, options?: LoadOptions): Promise<Model>
}

const auto = (name: string, task: HeadName): AutoClass<EncoderForTask> => ({
  fromPretrained: (model, options = {}) => loadEncoder(`${name}.fromPretrained`, model, task, options),
})

/** The bare model: its hidden states. */
export const AutoModel: AutoClass<EncoderForTask | EncoderDecoderForTask> = {
  fromPretrained: (model, options = {}) => loadBare('AutoModel.fromPretrained', model, options),
}
/** T5, BART, mBART, Marian: a source in, a target out. */
export const AutoModelForSeq2SeqLM: AutoClass<EncoderDecoderForTask> = {
  fromPretrained: (model, options = {}) => loadSeq2Seq('AutoModelForSeq2SeqLM.fromPretrained', model, options),
}
export const AutoModelForMaskedLM = auto('AutoModelForMaskedLM', 'masked-lm')
export const AutoModelForSequenceClassification = auto('AutoModelForSequenceClassification', 'sequence-classification')
export const AutoModelForTokenClassification = auto('AutoModelForTokenClassification', 'token-classification')
export const AutoModelForQuestionAnswering = auto('AutoModelForQuestionAnswering', 'question-answering')
/** ELECTRA's discriminator: a score for each token, above 0 where it looks replaced. */
export const AutoModelForPreTraining = auto('AutoModelForPreTraining', 'replaced-tokens')
