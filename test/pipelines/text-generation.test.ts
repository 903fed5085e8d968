import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CharTokenizer, generate, GPT, liveBytes, pipeline, saveDecoder, type PipelineOf } from '../../lib/index.ts'

const tokenizer = CharTokenizer.train('abcdefgh .:\n')
const model = new GPT({ vocabSize: tokenizer.vocabSize, layers: 1, heads: 2, hiddenSize: 16, context: 64, seed: 5 })
let folder: string
let write: PipelineOf<'text-generation'>

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'heedful-pipeline-'))
  await saveDecoder(model, folder)
  await tokenizer.save(folder)
  write = await pipeline('text-generation', folder, { temperature: 0 })
})
afterAll(async () => {
  write.dispose()
  model.dispose()
  await rm(folder, { recursive: true })
})

/** What the model writes after a text, found token by token. */
async function greedy(prompt: string, maxNewTokens: number): Promise<string> {
  const ids: number[] = []
  for await (const id of generate(model, tokenizer.encode(prompt), { temperature: 0, maxNewTokens })) ids.push(id)
  return tokenizer.decode(ids)
}

describe('text-generation', () => {
  it('continues a text greedily, and says why it ended', async () => {
    const text = await greedy('bad cab', 20)
    expect(await write('bad cab', { maxNewTokens: 20 })).toEqual({
      generatedText: text,
      finishReason: 'length',
      tokens: 20,
    })
    const both = await write(['bad cab', 'a'], { maxNewTokens: 20 })
    expect(both.map(({ generatedText }) => generatedText)).toEqual([text, await greedy('a', 20)])
  })

  it('streams what it would give at once', async () => {
    const pieces: string[] = []
    for await (const piece of write.stream('bad cab', { maxNewTokens: 20 })) pieces.push(piece)
    expect(pieces.length).toBeGreaterThan(10)
    expect(pieces.join('')).toBe(await greedy('bad cab', 20))
  })

  it('ends before a stop string', async () => {
    const text = await greedy('bad cab', 20)
    const stop = text.slice(7, 10)
    const wanted = text.slice(0, text.indexOf(stop))
    expect(await write('bad cab', { maxNewTokens: 20, stop })).toMatchObject({
      generatedText: wanted,
      finishReason: 'stop',
    })
    expect(await write('bad cab', { maxNewTokens: 20, stop: ['\0', stop] })).toMatchObject({ generatedText: wanted })
  })

  it('draws the same for the same seed, and otherwise something else', async () => {
    const draw = async (seed: number) => (await write('a', { temperature: 2, maxNewTokens: 40, seed })).generatedText
    expect(await draw(1)).toBe(await draw(1))
    expect(await draw(1)).not.toBe(await draw(2))
  })

  it('writes many texts together as each would be alone, and searches beams', async () => {
    const prompts = Array.from({ length: 21 }, (_, i) => 'bad cab heed'.slice(0, 1 + (i % 12)))
    const options = { maxNewTokens: 9, temperature: 1.5, seed: 11 }
    const many = await write(prompts, options)
    for (const i of [0, 7, 16, 20])
      expect(many[i]).toEqual(await write(prompts[i]!, { ...options, seed: options.seed + i }))
    const [best, other] = await write(['bad', 'a'], { maxNewTokens: 6, numBeams: 3 })
    const ids = await write.model.generate(
      { inputIds: [[...tokenizer.encode('bad')]] },
      { maxNewTokens: 6, numBeams: 3, stopTokens: [] },
    )
    expect(best!.generatedText).toBe(tokenizer.decode(ids[0]!))
    expect(other!.tokens).toBe(6)
    expect(await write([])).toEqual([])
  })

  it('plans its programs once', async () => {
    const before = liveBytes()
    await write('bad', { maxNewTokens: 5 })
    const kept = liveBytes()
    await write('cab', { maxNewTokens: 30 })
    for await (const piece of write.stream('a', { maxNewTokens: 8 })) if (piece.length > 9) break
    expect(liveBytes()).toBe(kept)
    expect(kept).not.toBe(before)
  })

  it('keeps to the rules of generation_config.json', async () => {
    const path = join(folder, 'generation_config.json')
    await writeFile(path, JSON.stringify({ no_repeat_ngram_size: 1, max_new_tokens: 7 }))
    await using strict = await pipeline('text-generation', folder, { temperature: 0 })
    const { generatedText, tokens } = await strict('abcd')
    expect(tokens).toBe(7)
    expect(new Set(`abcd${generatedText}`).size).toBe(11)
    expect((await strict('abcd', { noRepeatNgramSize: 0, maxNewTokens: 20 })).generatedText).toBe(
      await greedy('abcd', 20),
    )
    await writeFile(path, JSON.stringify({ suppress_tokens: [3] }))
    await expect(pipeline('text-generation', folder)).rejects.toThrow(/suppress_tokens .* is not supported/)
    await rm(path)
  })

  it('reads a conversation by its template', async () => {
    const chatTemplate =
      '{% for m in messages %}{{ m.role[0:1] }}:{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}b:{% endif %}'
    const turns = [{ role: 'fed', content: 'a bad cab' }]
    const { generatedText } = await write(turns, { maxNewTokens: 20, chatTemplate })
    expect(generatedText).toBe(await greedy('f:a bad cab\nb:', 20))
    const [first, second] = await write([turns, 'a'], { maxNewTokens: 20, chatTemplate }).catch((error: Error) => [
      error,
    ])
    expect([first, second]).toMatchObject([{ message: /chatTemplate is for conversations/ }, undefined])
    await expect(write(turns)).rejects.toThrow(/template/)
  })

  it('follows generation_config.json where nothing is said', async () => {
    const path = join(folder, 'generation_config.json')
    const text = await greedy('bad cab', 20)
    const [end] = tokenizer.encode(text[6]!)
    await writeFile(path, JSON.stringify({ eos_token_id: [end], do_sample: true, temperature: 2, top_k: 5 }))
    await using advised = await pipeline('text-generation', folder)
    expect(await advised('bad cab', { temperature: 0 })).toMatchObject({
      generatedText: text.slice(0, text.indexOf(text[6]!)),
      finishReason: 'stop',
    })
    const drawn = await Promise.all([1, 2, 3].map((seed) => advised('bad cab', { maxNewTokens: 30, seed })))
    expect(new Set(drawn.map(({ generatedText }) => generatedText)).size).toBeGreaterThan(1)
    await writeFile(path, JSON.stringify({ eos_token_id: 'x' }))
    await expect(pipeline('text-generation', folder)).rejects.toThrow(
      /generation_config.json: eos_token_id: .* got "x"/,
    )
    await rm(path)
  })

  it('stops when it is told to', async () => {
    const controller = new AbortController()
    await expect(
      (async () => {
        const pieces = write.stream('a', { maxNewTokens: 60, signal: controller.signal })
        for (let step = await pieces.next(); !step.done; step = await pieces.next()) controller.abort()
      })(),
    ).rejects.toThrow(/abort/i)
  })

  it.each<[() => Promise<unknown>, RegExp]>([
    [() => write('a', { maxNewTokens: -1 }), /maxNewTokens should be an integer of at least 0, got -1/],
    [() => write('a', { stop: '' }), /stop should be a string or an array of strings/],
    [() => write('a', { topP: 2 }), /topP should be a number from 0 to 1, got 2/],
    [() => write('a', { maxTokens: 3 } as never), /unknown option "maxTokens"; did you mean maxNewTokens/],
    [() => write('a', { tools: [] }), /tools is for conversations/],
    [() => write(5 as never), /expected a text or a conversation or an array of them, got 5/],
    [() => write([['a']] as never), /expected a text or a conversation at 0 of the array/],
    [() => write('aXb'), /X/],
    [() => pipeline('text-generation', folder, { stop: 5 }), /stop should be/],
    [() => pipeline('text-generation', folder, { pooling: 'mean' } as never), /unknown option "pooling"/],
    [() => pipeline('text-generator' as never, folder), /unknown task "text-generator"; did you mean text-generation/],
    [() => pipeline('text-classification', folder), /score\.weight is missing/],
    [() => write.stream(['a'] as never).next(), /stream takes one text or conversation/],
    [() => write.stream('a', { numBeams: 2 }).next(), /beams are not known before the end/],
    [() => write('a', { numBeams: 2, maxNewTokens: 64 }), /with beams a row and what follows should have at most 64/],
  ])('complains: %#', async (call, message) => {
    await expect(Promise.resolve().then(call)).rejects.toThrow(message)
  })
})
