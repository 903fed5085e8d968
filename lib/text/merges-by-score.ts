/**
 * SentencePiece's BPE as a list of merges. It merges the neighbours whose joined piece has the highest score, the leftmost
 * of equals (Kudo and Richardson, SentencePiece, 2018). So each way to cut a piece in two is a merge, and all that make
 * pieces of the same score have the same rank; in a tokenizer.json they stand in the order of the scores.
 */
export function mergesByScore(
  pieces: readonly string[],
  scores: ArrayLike<number>,
  isMade: (id: number) => boolean,
): { merges: [left: string, right: string][]; ranks: number[] } {
  const known = new Set(pieces.filter((_, id) => isMade(id)))
  const made = pieces.map((piece, id) => ({ piece, score: scores[id]!, id })).filter(({ id }) => isMade(id))
  made.sort((a, b) => b.score - a.score || a.id - b.id)
  const merges: [left: string, right: string][] = []
  const ranks: number[] = []
  let rank = -1
  let last: number | undefined
  for (const { piece, score } of made) {
    if (score !== last) rank++
    last = score
    // No trained piece is longer (SentencePiece: 16 unless told), and a lying file could ask for billions of merges.
    if (piece.length > longestMade) continue
    for (let cut = 1; cut < piece.length; cut++) {
      const [left, right] = [piece.slice(0, cut), piece.slice(cut)]
      if (!known.has(left) || !known.has(right)) continue
      merges.push([left, right])
      ranks.push(rank)
    }
  }
  return { merges, ranks }
}

const longestMade = 256
