import type { Checkpoint } from '../checkpoint/checkpoint.ts'
import { ggufModel, ropeFactors, shortest, type GgufModel } from '../checkpoint/gguf-model.ts'
import { ropeFrequencies, type RopeScaling } from './rope-scaling.ts'

type Llama3 = Extract<RopeScaling, { type: 'llama3' }>

/** What `ggufModel` tells, with what tensors say about the configuration. */
export async function readGgufModel(checkpoint: Checkpoint): Promise<GgufModel> {
  const { config, names } = ggufModel(checkpoint)
  if (!checkpoint.tensors.has(ropeFactors)) return { config, names }
  using tensor = await checkpoint.read(ropeFactors)
  const factors = Array.from(tensor.data() as Float32Array, shortest)
  const theta = Number(config['rope_theta'] ?? 1e4)
  const context = Number(config['max_position_embeddings'])
  return { config: { ...config, rope_scaling: scalingOf(factors, theta, context) }, names }
}

/** What Llama 3.1 and its successors scale by, if it is that; else a table of its own for any length. */
function scalingOf(factors: readonly number[], theta: number, context: number): object {
  const llama3: Llama3 = {
    type: 'llama3',
    factor: Math.max(...factors),
    lowFreqFactor: 1,
    highFreqFactor: 4,
    originalContext: 8192,
  }
  if (llama3Factors(theta, factors.length, llama3).every((factor, i) => Math.abs(factor / factors[i]! - 1) < 1e-5))
    return {
      rope_type: 'llama3',
      factor: llama3.factor,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: llama3.originalContext,
    }
  return {
    rope_type: 'longrope',
    short_factor: factors,
    long_factor: factors,
    attention_factor: 1,
    original_max_position_embeddings: context,
  }
}

/** What `count` frequencies of rotary positions are divided by. */
export function llama3Factors(theta: number, count: number, scaling: Llama3): number[] {
  const [plain, scaled] = [{ type: 'none' } as const, scaling].map((one) => ropeFrequencies(theta, 2 * count, one, 0))
  return Array.from({ length: count }, (_, i) => plain![i]! / scaled![i]!)
}
