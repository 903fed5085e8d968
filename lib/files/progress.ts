/** How far reading, writing or fetching has come. */
export interface Progress {
  /** What is read, written or fetched at the moment. */
  readonly file: string
  /** Bytes done so far, of all files together. */
  readonly loaded: number
  /** Bytes that all files have together. */
  readonly total: number
}

export type OnProgress = (progress: Progress) => void
