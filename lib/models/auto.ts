import type { EncoderForTask } from './encoder-for-task.ts'
import type { HeadName } from './families/index.ts'
import type { LoadOptions } from './load-model.ts'
import { loadEncoder } from './pretrained.ts'

interface AutoClass {
  /**
   * Opens a folder of Hugging Face's transformers (config.json with model.safetensors, or with its parts and their
   * index), a GGUF file, or an id of the Hub (`resolveModel` tells of both ids and options). Throws ArgumentError for a
   * model or a task that is not supported, FileError and ShapeError for files that are missing, damaged or don't
   * belong together, HubError; each says what is supported, or names the file and the key or tensor.
   */
  fromPretrained(model: string, options?: LoadOptions): Promise<EncoderForTask>
}

const auto = (name: string, task: HeadName): AutoClass => ({
  fromPretrained: (model, options = {}) => loadEncoder(`${name}.fromPretrained`, model, task, options),
})

/** The bare model: its hidden states. */
export const AutoModel = auto('AutoModel', 'none')
export const AutoModelForMaskedLM = auto('AutoModelForMaskedLM', 'masked-lm')
export const AutoModelForSequenceClassification = auto('AutoModelForSequenceClassification', 'sequence-classification')
export const AutoModelForTokenClassification = auto('AutoModelForTokenClassification', 'token-classification')
export const AutoModelForQuestionAnswering = auto('AutoModelForQuestionAnswering', 'question-answering')
/** ELECTRA's discriminator: a score for each token, above 0 where it looks replaced. */
export const AutoModelForPreTraining = auto('AutoModelForPreTraining', 'replaced-tokens')
