import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openCheckpoint } from '../../lib/checkpoint/open-checkpoint.ts'
import { ArgumentError } from '../../lib/errors.ts'
import { compile } from '../../lib/graph/compile.ts'
import { AutoModel, AutoModelForMaskedLM } from '../../lib/models/auto.ts'
import { AutoTokenizer } from '../../lib/models/auto-tokenizer.ts'
import type { DecoderModel } from '../../lib/models/decoder-model.ts'
import { loadDecoder } from '../../lib/models/pretrained.ts'
import { readGgufModel } from '../../lib/models/gguf-config.ts'
import { quantizeModel } from '../../lib/models/quantize-model.ts'
import { tensor } from '../../lib/tensor/create.ts'
import { fromData, type Tensor } from '../../lib/tensor/tensor.ts'
import { goldens, makeFolder } from '../reference/decoder-goldens.ts'
import { storiesFolder, writeStoriesGguf } from '../reference/stories.ts'
import { referenceFolder } from './reference-suite.ts'

let scratch: string
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'heedful-'))
})
afterAll(() => rm(scratch, { recursive: true }))

const logits = (model: DecoderModel, most = 80): Float32Array => {
  using tokens = tensor([[1, 5, 9, 42, 77, 3].map((id) => Math.min(id, most))], { dtype: 'i32' })
  using program = compile((inputs: { tokens: Tensor }) => model.forward(inputs))
  using result = program.runSync({ tokens })
  return Float32Array.from(result.data())
}

function relativeError(got: Float32Array, expected: Float32Array): number {
  let [off, size] = [0, 0]
  expected.forEach((value, i) => {
    off += (got[i]! - value) ** 2
    size += value ** 2
  })
  return Math.sqrt(off / size)
}

describe('a GGUF file of safetensors', () => {
  it.each([
    ['int8', 'q8_0'],
    ['int4', 'q4_0'],
  ] as const)("%s has llama.cpp's own blocks", async (dtype, type) => {
    const out = join(scratch, dtype)
    const { path, format } = await quantizeModel(storiesFolder, out, { dtype })
    expect([path, format]).toEqual([join(out, 'model.gguf'), 'gguf'])
    const reference = join(scratch, `${type}.gguf`)
    await writeStoriesGguf(reference, type)
    await using ours = await openCheckpoint(path)
    await using theirs = await openCheckpoint(reference)
    let same = 0
    for (const [name, told] of ours.tensors) {
      // Rows that are looked up keep 8 bits.
      if (dtype === 'int4' && name === 'token_embd.weight') {
        expect(told.fileType).toBe('Q8_0')
        continue
      }
      expect(told, name).toEqual(theirs.tensors.get(name))
      expect(Buffer.compare(await ours.readBytes(name), await theirs.readBytes(name)), name).toBe(0)
      same++
    }
    // All but the output, which they store twice.
    expect(same).toBe(theirs.tensors.size - (dtype === 'int4' ? 2 : 1))
    expect((await readdir(out)).sort()).toEqual(['config.json', 'model.gguf', 'tokenizer.json'])
  })

  it.each(['gpt2', 'llama-gqa'])('%s opens with the numbers that were written', async (name) => {
    using exact = await loadDecoder(referenceFolder(name))
    for (const [dtype, bound] of [
      ['int8', 0.03],
      ['int4', 0.35],
    ] as const) {
      const out = join(scratch, `${name} ${dtype}`)
      await quantizeModel(referenceFolder(name), out, { dtype })
      using kept = await loadDecoder(out, { dtype: 'auto' })
      using wide = await loadDecoder(out)
      // Dropout is for training.
      expect({ ...wide.config, dropout: 0 }).toEqual({ ...exact.config, dropout: 0 })
      expect(relativeError(logits(wide), logits(exact))).toBeLessThan(bound)
      // The same weights; the products round what they are multiplied by.
      expect(relativeError(logits(kept), logits(wide))).toBeLessThan(0.03)
    }
  })

  it.each([
    'qwen2',
    'qwen3',
    'gemma2',
    'gemma3-pattern',
    'phi3',
    'olmo2',
    'gpt-neox',
    'mistral-no-window',
    'llama-linear',
  ])('of %s has the same configuration and numbers', async (name) => {
    const { given, tensors } = goldens.cases[name]!
    const config = name.startsWith('gemma') ? { ...given, query_pre_attn_scalar: 12 } : given
    const folder = await makeFolder({ config, tensors })
    const out = join(scratch, `${name} int8`)
    await quantizeModel(folder, out, { dtype: 'int8' })
    using exact = await loadDecoder(folder)
    using wide = await loadDecoder(out)
    using kept = await loadDecoder(out, { dtype: 'auto' })
    expect({ ...wide.config, dropout: 0 }).toEqual({ ...exact.config, dropout: 0 })
    expect(relativeError(logits(wide, 40), logits(exact, 40))).toBeLessThan(0.03)
    expect(relativeError(logits(kept, 40), logits(wide, 40))).toBeLessThan(0.03)
    await rm(folder, { recursive: true })
  })

  it('has the factors of rotary positions of Llama 3.1 as a tensor, and takes other factors as they are', async () => {
    const { given, tensors } = goldens.cases['llama-llama3']!
    const llama3 = { type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 }
    const config = {
      ...given,
      rope_theta: 5e5,
      max_position_embeddings: 131_072,
      rope_scaling: { ...llama3, original_max_position_embeddings: 8192 },
    }
    const folder = await makeFolder({ config, tensors })
    const { path } = await quantizeModel(folder, join(scratch, 'llama 3.1'), { dtype: 'int8' })
    using exact = await loadDecoder(folder)
    using wide = await loadDecoder(path)
    expect(wide.config).toEqual({ ...exact.config, dropout: 0 })
    await using checkpoint = await openCheckpoint(path)
    expect(checkpoint.tensors.get('rope_freqs.weight')).toMatchObject({ shape: [8], fileType: 'F32' })
    // What factors say is what positions are turned by, whatever made them.
    const { config: read } = await readGgufModel({
      ...checkpoint,
      format: 'gguf',
      path,
      metadata: checkpoint.metadata,
      tensors: checkpoint.tensors,
      read: async () => fromData(Float32Array.of(1, 1, 1.5, 2, 3, 4, 6, 9)),
    } as never)
    expect(read['rope_scaling']).toMatchObject({ rope_type: 'longrope', long_factor: [1, 1, 1.5, 2, 3, 4, 6, 9] })
    await rm(folder, { recursive: true })
  })

  it.each([
    ['llama-llama3', /ropeScaling of this model have no key there/],
    ['gemma3', /windowLayers of this model have no key there/],
    ['qwen2-window', /window, windowLayers of this model have no key there/],
    ['mistral', /window, windowLayers of this model have no key there/],
    ['llama-yarn', /ropeScaling of this model have no key there/],
    ['phi3-longrope', /ropeScaling/],
    ['gpt-neox-sequential', /qkvBias/],
    ['mixtral', /model_type mixtral has no architecture of GGUF/],
  ])('of %s would not say what it is', async (name, message) => {
    const { given, tensors } = goldens.cases[name]!
    const config = name.startsWith('gemma') ? { ...given, query_pre_attn_scalar: 12 } : given
    const folder = await makeFolder({ config, tensors })
    await expect(quantizeModel(folder, join(scratch, 'refused'), { dtype: 'int8' })).rejects.toThrow(message)
    await rm(folder, { recursive: true })
  })

  it('of an encoder', async () => {
    const bare = join(scratch, 'bare')
    using exact = await AutoModel.fromPretrained(referenceFolder('bert-cls'))
    await exact.savePretrained(bare)
    await quantizeModel(bare, join(scratch, 'bare int8'), { dtype: 'int8' })
    using opened = await AutoModel.fromPretrained(join(scratch, 'bare int8'), { dtype: 'auto' })
    const states = async (model: typeof exact): Promise<Float32Array> => {
      using outputs = await model.run({ inputIds: [[3, 17, 40, 8]] })
      return Float32Array.from(outputs.lastHiddenState.data())
    }
    expect(relativeError(await states(opened), await states(exact))).toBeLessThan(0.03)
  })

  it('brings its tokenizer where llama.cpp has a name for it', async () => {
    const folder = join(scratch, 'with tokenizer')
    await cp(referenceFolder('gpt2'), folder, { recursive: true })
    const letters = [...'abcdefgh'].map((letter, id) => [letter, id] as const)
    const model = {
      type: 'BPE',
      vocab: { ...Object.fromEntries(letters), ab: 8, cd: 9, abcd: 10, '<|endoftext|>': 11 },
      merges: ['a b', 'c d', ['ab', 'cd']],
    }
    const special = { id: 11, content: '<|endoftext|>', special: true, normalized: false }
    const splitting = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
    const json = { version: '1.0', added_tokens: [special], pre_tokenizer: splitting, decoder: splitting, model }
    await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(json))
    await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify({ eos_token: '<|endoftext|>' }))
    const { path } = await quantizeModel(folder, join(scratch, 'with tokenizer int8'), { dtype: 'int8' })
    const tokenizer = await AutoTokenizer.fromPretrained(path)
    expect([...tokenizer.encode('abcdefab')]).toEqual([10, 4, 5, 8])
    expect(tokenizer.eosTokenId).toBe(11)
  })
})

describe('other models', () => {
  it('bf16: safetensors, each number rounded to nearest even', async () => {
    const out = join(scratch, 'bf16')
    const { path, format } = await quantizeModel(referenceFolder('bert-mlm'), out, { dtype: 'bf16' })
    expect([path, format]).toEqual([join(out, 'model.safetensors'), 'safetensors'])
    expect(JSON.parse(await readFile(join(out, 'config.json'), 'utf8'))).toMatchObject({ dtype: 'bfloat16' })
    using exact = await AutoModelForMaskedLM.fromPretrained(referenceFolder('bert-mlm'))
    using narrow = await AutoModelForMaskedLM.fromPretrained(out)
    const wide = exact.parameters()
    for (const [name, parameter] of narrow.parameters()) {
      const expected = new Uint32Array(Float32Array.from(wide.get(name)!.data()).buffer)
      const rounded = expected.map((word) => ((word + 0x7fff + ((word >>> 16) & 1)) >>> 16) << 16)
      expect(Float32Array.from(parameter.data()), name).toEqual(new Float32Array(rounded.buffer))
    }
  })

  it('a head that GGUF files have no place for is refused, and bf16 told of', async () => {
    const error = await quantizeModel(referenceFolder('bert-cls'), join(scratch, 'no'), { dtype: 'int8' }).catch(
      (cause: unknown) => cause,
    )
    expect(error).toBeInstanceOf(ArgumentError)
    expect((error as Error).message).toMatch(/"classifier\.\w+" has no name there; .* take dtype bf16/)
  })

  it.each(['bf16', 'int8', 'int4'] as const)(
    'a GGUF file as %s keeps metadata, and blocks of as few bits',
    async (dtype) => {
      const source = join(scratch, 'q5_1.gguf')
      await writeStoriesGguf(source, 'q5_1')
      const { path } = await quantizeModel(source, join(scratch, `from gguf ${dtype}`), { dtype })
      await using before = await openCheckpoint(source)
      await using after = await openCheckpoint(path)
      expect(after.metadata).toEqual({
        ...before.metadata,
        'general.file_type': { bf16: 32, int8: 7, int4: 2 }[dtype],
        'general.quantization_version': 2,
      })
      expect(after.tensors.get('blk.0.attn_q.weight')!.fileType).toBe(
        { bf16: 'BF16', int8: 'Q5_1', int4: 'Q4_0' }[dtype],
      )
      using model = await loadDecoder(path, { dtype: 'auto' })
      using original = await loadDecoder(source)
      expect(relativeError(logits(model), logits(original))).toBeLessThan(dtype === 'int4' ? 0.2 : 0.03)
    },
  )
})

describe('what goes wrong', () => {
  it('leaves no weights when it is aborted', async () => {
    const out = join(scratch, 'aborted')
    const controller = new AbortController()
    const reason = new Error('enough')
    const work = quantizeModel(storiesFolder, out, {
      dtype: 'int8',
      signal: controller.signal,
      onProgress: ({ loaded, total }) => loaded > total / 3 && controller.abort(reason),
    })
    expect(await work.catch((cause: unknown) => cause)).toBe(reason)
    expect((await readdir(out)).filter((name) => /gguf|tmp/.test(name))).toEqual([])
  })
  it('the folder of the model itself', async () => {
    const folder = join(scratch, 'self')
    await cp(storiesFolder, folder, { recursive: true })
    await expect(quantizeModel(folder, folder, { dtype: 'int8' })).rejects.toThrow(/is the folder of the model itself/)
  })
  it('an unknown dtype', () =>
    expect(quantizeModel(storiesFolder, join(scratch, 'x'), { dtype: 'int2' as never })).rejects.toThrow(
      /^quantizeModel: dtype should be one of bf16, int8, int4, got "int2"/,
    ))
})
