/** What may follow a target, beside what the model says. Ids are those of tokens. */
export interface TokenRules {
  /** Logits of tokens that the target has are divided by this where above 0, else multiplied (Keskar et al. 2019). */
  repetitionPenalty: number
  /** No sequence of so many tokens comes twice; 0: any may. */
  noRepeatNgramSize: number
  /** Sequences of tokens that never come. */
  badWordsIds: readonly (readonly number[])[]
  /** No stop token comes before so many others. */
  minNewTokens: number
  maxNewTokens: number
  stopTokens: readonly number[]
  /** The first token, and the last one of a target that gets as long as it may. */
  forcedBosTokenId: number | undefined
  forcedEosTokenId: readonly number[] | undefined
}

/** Whether any rule is there: without, scores stay as the model makes them. */
export const hasRules = (rules: TokenRules): boolean =>
  rules.repetitionPenalty !== 1 ||
  rules.noRepeatNgramSize > 0 ||
  rules.badWordsIds.length > 0 ||
  rules.minNewTokens > 0 ||
  rules.forcedBosTokenId !== undefined ||
  rules.forcedEosTokenId !== undefined

/** Applies the rules to the scores of what follows `target`, in place; its first `begin` tokens were given. */
export function applyRules(scores: Float32Array, target: readonly number[], begin: number, rules: TokenRules): void {
  const made = target.length - begin
  const { repetitionPenalty, noRepeatNgramSize, forcedBosTokenId, forcedEosTokenId } = rules
  const ban = (token: number): void => {
    if (token < scores.length) scores[token] = -Infinity
  }
  if (repetitionPenalty !== 1)
    for (const token of new Set(target))
      scores[token] = scores[token]! < 0 ? scores[token]! * repetitionPenalty : scores[token]! / repetitionPenalty
  if (noRepeatNgramSize > 0) nextOfRepeated(target, noRepeatNgramSize).forEach(ban)
  for (const word of rules.badWordsIds) if (endsWith(target, word.slice(0, -1))) ban(word.at(-1)!)
  if (made < rules.minNewTokens) rules.stopTokens.forEach(ban)
  if (made === 0 && forcedBosTokenId !== undefined) force(scores, [forcedBosTokenId])
  if (made === rules.maxNewTokens - 1 && forcedEosTokenId !== undefined) force(scores, forcedEosTokenId)
}

function force(scores: Float32Array, tokens: readonly number[]): void {
  scores.fill(-Infinity)
  for (const token of tokens) scores[token] = 0
}

const endsWith = (target: readonly number[], end: readonly number[]): boolean =>
  end.length <= target.length && end.every((token, i) => token === target[target.length - end.length + i])

/** The tokens that came after what stands at the end, taken as the beginning of `size` tokens. */
function nextOfRepeated(target: readonly number[], size: number): number[] {
  const next: number[] = []
  const end = target.slice(target.length - size + 1)
  for (let i = 0; i + size <= target.length; i++)
    if (end.every((token, j) => token === target[i + j])) next.push(target[i + size - 1]!)
  return next
}
