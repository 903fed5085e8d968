import type { DType } from '../tensor/dtype.ts'
import type { Shape } from '../tensor/shape.ts'
import type { Tensor } from '../tensor/tensor.ts'

/** What is known of a tensor before it has data. */
export interface TensorType {
  readonly shape: Shape
  readonly dtype: DType
}

/**
 * What an instruction takes as an operand: any strides; rows without gaps (the last dimension); a matrix whose rows or
 * columns have none (one of the last two dimensions); no gaps at all.
 */
export type Layout = 'strided' | 'rows' | 'matrix' | 'contiguous'

export type Attributes = Readonly<Record<string, unknown>>

export interface OperandSpec {
  readonly name: string
  /** 'float': f32 or f64, the same for all float operands; 'index': i32; 'any'. */
  readonly kind: 'float' | 'index' | 'any'
  readonly optional?: boolean
  readonly layout?: Layout
  /** Any number of operands of this kind (only the last one). */
  readonly variadic?: boolean
}

export interface OutputSpec {
  readonly name: string
  /** Not computed when nobody reads it. */
  readonly optional?: boolean
  readonly layout?: Layout
  /** Names of inputs whose memory this output may take over, element for element. */
  readonly inPlace?: readonly string[]
  /** The input that this output is, after the operation has changed it. */
  readonly updates?: string
  /** Axes in the order in which they lie in memory, outermost first; row-major unless said. */
  readonly order?: readonly number[]
}

/** A strided window on a buffer: element (i…) at offset + Σ i · strides, in elements. */
export interface View {
  readonly shape: Shape
  readonly strides: readonly number[]
  readonly offset: number
}

export interface GradientContext {
  readonly inputs: readonly (Tensor | undefined)[]
  readonly outputs: readonly Tensor[]
  /** dLoss/dOutput; undefined where the loss does not depend on that output. */
  readonly gradOutputs: readonly (Tensor | undefined)[]
  readonly attributes: Attributes
  /** Which inputs' gradients are wanted. */
  readonly wanted: readonly boolean[]
}

/**
 * One operation: its shape rule, gradient rule and lowering, side by side. A node of a graph carries its definition,
 * so that differentiation, rewriting and planning know no operation by itself.
 */
export interface OpDefinition {
  readonly name: string
  readonly operands: readonly OperandSpec[]
  readonly outputs: readonly OutputSpec[]
  /** The types of the outputs; throws ShapeError and ArgumentError. */
  infer(inputs: readonly (TensorType | undefined)[], attributes: Attributes): TensorType[]
  /** dLoss/dInput per input (undefined: none). Without a rule the operation can't be differentiated. */
  gradient?(context: GradientContext): readonly (Tensor | undefined)[]
  /** What the operation becomes in a program. */
  readonly lowering: Lowering
  /** Other definitions of the same, which rewrites may take in its place, by what they are for. */
  readonly variants?: Readonly<Record<string, OpDefinition>>
  /** Changes state that must not be left half changed: from the first such operation on, a run is not aborted. */
  readonly commits?: boolean
}

export type Lowering =
  /** A native instruction with these numeric attributes. */
  | { readonly kind: 'instruction'; readonly instruction: string; attributes(attributes: Attributes): number[] }
  /** No work: output `index` looks at the input's memory. */
  | {
      readonly kind: 'view'
      /** undefined: not expressible on these strides; the input is copied first. */
      view(input: View, output: TensorType, attributes: Attributes, index: number): View | undefined
      /** The window that the input has to be made in so that the output comes to lie in `output`. */
      inverse?(output: View, input: TensorType, attributes: Attributes): View | undefined
    }
  /** The output is put together from the inputs: input i lies at window(i) of the output. */
  | {
      readonly kind: 'assemble'
      /** The rest of the output is zero: say so when the windows don't cover it. */
      covers(inputs: readonly TensorType[], output: TensorType, attributes: Attributes): boolean
      window(index: number, inputs: readonly TensorType[], output: View, attributes: Attributes): View
    }
