import { encodeTexts, type Encoder, type Encoding, type EncodingOptions } from './encoding.ts'

// oxlint-disable-next-line typescript/no-unsafe-declaration-merging
export interface CallableTokenizer {
  (texts: string | readonly string[], options?: EncodingOptions): Encoding
}

/** Makes instances functions, which encode texts: `tokenizer(['short', 'a much longer text'])`. */
// oxlint-disable-next-line typescript/no-unsafe-declaration-merging, typescript/no-extraneous-class
export class CallableTokenizer {
  constructor(encoder: () => Encoder) {
    const call = (texts: string | readonly string[], options: EncodingOptions = {}): Encoding =>
      encodeTexts(encoder(), texts, options)
    return Object.setPrototypeOf(call, new.target.prototype) as this
  }
}
