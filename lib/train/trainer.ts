import { ArgumentError, FileError } from '../errors.ts'
import type { Compiled, RunOptions } from '../graph/compile.ts'
import { checkModel, type DecoderModel } from '../models/decoder-model.ts'
import type { Optimizer } from './adamw.ts'
import type { BatchSource, TokenBatch } from './causal-lm.ts'
import { evaluate } from './evaluate.ts'
import { MetricsWriter, type Metrics } from './metrics.ts'
import { resumeRun, saveRun, startRun } from './run-folder.ts'
import { checkTrainerState, type Resumable, type TrainerEvent, type TrainerState } from './trainer-state.ts'
import { trainingStep, type StepArguments, type StepResult } from './training-step.ts'
import { resolveTrainerOptions, type ResolvedTrainerOptions, type TrainerOptions } from './trainer-options.ts'

/** 2³² / golden ratio: the numbers of one seed's steps lie far from those of its neighbours. */
const seedFactor = 0x9e3779b1

/**
 * Trains a model: `for await (const event of trainer)`. Each step is one native program off the event loop. When the
 * signal is aborted, the step under way is given up, or finished if it changes parameters already, and the iteration
 * ends: the parameters are always those of a whole number of steps, and `state` is that of the same moment. Iterating
 * again goes on from there. With `out` the run is kept in a folder, and `resume` goes on with it. A loss that is no number ends it with an error that says so.
 */
export class Trainer implements AsyncIterable<TrainerEvent>, Resumable, Disposable {
  readonly #model: DecoderModel
  readonly #options: ResolvedTrainerOptions
  readonly #optimizer: Optimizer
  readonly #batches: BatchSource
  readonly #program: Compiled<StepArguments<TokenBatch>, StepResult>
  #step = 0
  #evaluated = true
  #resumed = false

  constructor(model: DecoderModel, options: TrainerOptions) {
    checkModel('Trainer', model)
    const resolved = resolveTrainerOptions(options)
    const { task, batchSize, seed, clipNorm, precision } = resolved
    const parameters = new Map([...model.parameters()].filter(([, parameter]) => parameter.trainable))
    if (parameters.size === 0) throw new ArgumentError('Trainer: the model has no trainable parameter')
    this.#model = model
    this.#options = resolved
    this.#batches = task.batches({ batchSize, seed })
    this.#optimizer = resolved.optimizer(parameters)
    this.#program = trainingStep({
      parameters,
      optimizer: this.#optimizer,
      clipNorm: clipNorm === Infinity ? undefined : clipNorm,
      precision,
      loss: (batch: TokenBatch, dropout) => task.loss(model, batch, dropout),
    })
  }

  /** Steps done so far. */
  get step(): number {
    return this.#step
  }
  /** Bytes of planned memory of the step. */
  get memoryBytes(): number {
    return this.#program.memoryBytes
  }

  get state(): TrainerState {
    return {
      step: this.#step,
      evaluated: this.#evaluated,
      batches: this.#batches.state,
      optimizer: this.#optimizer.state,
    }
  }

  /** Puts back what `state` gave. The model's parameters have to be those of that moment. */
  restore(state: TrainerState): void {
    const { step, evaluated, batches, optimizer } = checkTrainerState(state)
    for (const [name, moment] of this.#optimizer.state) {
      const saved = optimizer.get(name)
      if (!saved) throw new FileError(`Trainer: the saved optimizer has no ${name}; it belongs to another model`)
      moment.copyFrom(saved)
    }
    this.#batches.state = batches
    this.#step = step
    this.#evaluated = evaluated
  }

  /**
   * Goes on with the run in the folder `out`, as if it had never stopped, from what was saved last; gives the steps done.
   * 0: it was stopped before it saved anything. The model and all options have to be those of that run, but `steps`,
   * which may be raised (and changes the schedule). Throws FileError for a folder that holds no run.
   */
  async resume(): Promise<number> {
    const { out } = this.#options
    if (out === undefined) throw new ArgumentError('resume: the trainer has no folder; give it `out`')
    await resumeRun(out, this.#model, this)
    if (this.#step > this.#options.steps)
      throw new ArgumentError(`resume: ${this.#step} steps are done already, expected at most ${this.#options.steps}`)
    this.#resumed = true
    return this.#step
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TrainerEvent, void, undefined> {
    const { out, saveEvery = Infinity } = this.#options
    if (out === undefined) return yield* this.#events()
    const { step, evaluated } = this.state
    if (step === 0 && !this.#resumed) await startRun(out)
    const isOfTheRun = (line: Metrics): boolean =>
      line.step < step || (line.step === step && ('loss' in line || evaluated))
    const metrics = await MetricsWriter.open(out, isOfTheRun)
    const save = async (): Promise<void> => {
      await metrics.flush()
      await saveRun(out, this.#model, this, this.#options.task.tokenizer)
    }
    try {
      for await (const event of this.#events()) {
        await metrics.append(event)
        if (event.type === 'step' && event.step % saveEvery === 0) await save()
        yield event
      }
      await save()
    } finally {
      await metrics.close()
    }
  }

  async *#events(): AsyncGenerator<TrainerEvent, void, undefined> {
    const { steps, signal, evaluateEvery = Infinity, task } = this.#options
    for (;;) {
      if (!this.#evaluated) {
        const loss = await this.evaluate()
        if (loss === undefined) return
        this.#evaluated = true
        yield { type: 'evaluation', step: this.#step, loss }
      }
      if (this.#step >= steps || signal?.aborted) return
      const done = await this.#unlessAborted(this.#runStep())
      if (!done) return
      this.#evaluated = !task.validation || (this.#step < steps && this.#step % evaluateEvery !== 0)
      yield done
    }
  }

  /** Mean loss on the whole validation split; undefined when the signal stopped it. */
  async evaluate(): Promise<number | undefined> {
    const { task, evaluationBatchSize } = this.#options
    return this.#unlessAborted(evaluate(this.#model, task, evaluationBatchSize, this.#runOptions))
  }

  get #runOptions(): RunOptions {
    const { signal } = this.#options
    return signal ? { signal } : {}
  }

  async #unlessAborted<T>(work: Promise<T>): Promise<T | undefined> {
    const { signal } = this.#options
    try {
      return await work
    } catch (error) {
      if (signal?.aborted && error === signal.reason) return undefined
      throw error
    }
  }

  async #runStep(): Promise<TrainerEvent> {
    const { schedule, steps, batchSize, task, seed } = this.#options
    const step = this.#step + 1
    const learningRate = schedule(step, steps)
    const before = this.#batches.state
    const { tokens, targets } = this.#batches.next()
    const start = performance.now()
    const result = await this.#program
      .run(
        {
          batch: { tokens, targets },
          learningRate,
          step: Int32Array.of(step),
          seed: Int32Array.of(Math.imul(seed, seedFactor) + step),
        },
        this.#runOptions,
      )
      .catch((error: unknown) => {
        this.#batches.state = before
        throw error
      })
    const seconds = (performance.now() - start) / 1000
    const [loss, gradNorm] = [result.loss.item(), result.gradNorm.item()]
    result.loss.dispose()
    result.gradNorm.dispose()
    this.#step = step
    if (!Number.isFinite(loss))
      throw new ArgumentError(`Trainer: the loss of step ${step} is ${loss}; lower the learning rate or clip gradients`)
    return { type: 'step', step, loss, gradNorm, learningRate, tokensPerSecond: (batchSize * task.context) / seconds }
  }

  dispose(): void {
    this.#program.dispose()
    this.#optimizer[Symbol.dispose]()
  }
  [Symbol.dispose](): void {
    this.dispose()
  }
}
