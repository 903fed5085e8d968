import type { EncoderForTask } from './encoder-for-task.ts'
import type { HeadName } from './families/index.ts'
import { loadEncoder, type LoadOptions } from './pretrained.ts'

interface AutoClass {
  /**
   * Opens a model folder as Hugging Face's transformers writes it: config.json and model.safetensors. Throws
   * ArgumentError for a model or a task that is not supported, FileError for files that are missing, damaged or don't
   * belong together; each says what is supported, or names the file and the key or tensor.
   */
  fromPretrained(folder: string, options?: LoadOptions): Promise<EncoderForTask>
}

const auto = (name: string, task: HeadName): AutoClass => ({
  fromPretrained: (folder, options = {}) => loadEncoder(`${name}.fromPretrained`, folder, task, options),
})

/** The bare model: its hidden states. */
export const AutoModel = auto('AutoModel', 'none')
export const AutoModelForMaskedLM = auto('AutoModelForMaskedLM', 'masked-lm')
export const AutoModelForSequenceClassification = auto('AutoModelForSequenceClassification', 'sequence-classification')
export const AutoModelForTokenClassification = auto('AutoModelForTokenClassification', 'token-classification')
export const AutoModelForQuestionAnswering = auto('AutoModelForQuestionAnswering', 'question-answering')
