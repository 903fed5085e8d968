import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { ArgumentError, FileError } from '../../lib/errors.ts'
import type { ChatMessage } from '../../lib/text/chat-template.ts'
import { CharTokenizer } from '../../lib/text/char-tokenizer.ts'
import { loadTokenizer } from '../../lib/text/load-tokenizer.ts'
import { PretrainedTokenizer } from '../../lib/text/pretrained-tokenizer.ts'
import { tokenizers } from './goldens.ts'

interface Case {
  readonly template: string
  readonly conversation: number
  readonly text?: string
  readonly error?: string
}
const reference = new URL('../reference/tokenizers/', import.meta.url)
const { conversations, cases } = JSON.parse(readFileSync(new URL('chat.json', reference), 'utf8')) as {
  conversations: { messages: ChatMessage[]; options: Record<string, any> }[]
  cases: Case[]
}
const read = (template: string): string => readFileSync(new URL(`chat/${template}.jinja`, reference), 'utf8')
const open = (chat_template?: unknown): PretrainedTokenizer =>
  new PretrainedTokenizer(
    {
      tokenizer: tokenizers['llama2-style']!.tokenizer,
      config: { bos_token: '<s>', eos_token: '</s>', chat_template },
    },
    'a file',
  )

/** Where a template writes an object or list as if it were text: Python writes its own notation, which is refused here. */
const writesPython = ['llama-3 8', 'mistral 5', 'thinking 5', 'thinking 8']
/** Where Python can not add a list to a text; here it is written as JSON. */
const writesLists = ['chatml 8', 'mistral 8']

describe('chat templates, as transformers', () => {
  beforeAll(() => {
    vi.useFakeTimers({ now: new Date(2024, 6, 26, 12), toFake: ['Date'] })
  })
  afterAll(() => {
    vi.useRealTimers()
  })

  it.each(cases)('$template, conversation $conversation', ({ template, conversation, text, error }) => {
    const { messages, options } = conversations[conversation]!
    const { tools, add_generation_prompt, ...variables } = options
    const tokenizer = open(read(template))
    const given = { ...(tools && { tools }), addGenerationPrompt: add_generation_prompt ?? false, variables }
    const render = (): string => tokenizer.applyChatTemplate(messages, { ...given, tokenize: false })
    if (writesLists.includes(`${template} ${conversation}`)) return expect(render()).toContain('"type": "text"')
    if (messages.length === 0 || error !== undefined || writesPython.includes(`${template} ${conversation}`))
      return expect(render).toThrow(ArgumentError)
    expect(render()).toBe(text)
    expect(tokenizer.applyChatTemplate(messages, given)).toEqual(tokenizer.encode(text!, { addSpecialTokens: false }))
  })

  it('are of every kind', () => {
    expect(cases.filter(({ text }) => text !== undefined).length).toBeGreaterThan(30)
    expect(cases.filter(({ error }) => error !== undefined).length).toBeGreaterThan(5)
  })
})

describe('applyChatTemplate', () => {
  const hello = [{ role: 'user', content: 'Hello' }]
  const chatml = read('chatml')

  it('takes a template of one’s own, or one of several by name', () => {
    const tokenizer = open([
      { name: 'default', template: 'D{{ messages | length }}' },
      { name: 'tool_use', template: 'T{{ tools | length }}' },
      { name: 'rag', template: 'R{{ documents[0].title }}' },
    ])
    const text = (options: object): string => tokenizer.applyChatTemplate(hello, { ...options, tokenize: false })
    expect(text({})).toBe('D1')
    expect(text({ tools: [{}, {}] })).toBe('T2')
    expect(text({ chatTemplate: 'rag', documents: [{ title: 'x' }] })).toBe('Rx')
    expect(text({ chatTemplate: 'own {{ messages[0].content }}' })).toBe('own Hello')
    const char = CharTokenizer.train('Helo ')
    expect([...char.applyChatTemplate(hello, { chatTemplate: '{{ messages[0].content }}' })]).toEqual([
      ...char.encode('Hello'),
    ])
  })

  it('tells what a template refuses', () => {
    const bad = [
      { role: 'user', content: 'a' },
      { role: 'user', content: 'b' },
    ]
    expect(() => open(read('gemma')).applyChatTemplate(bad)).toThrow(
      new ArgumentError(
        'applyChatTemplate: the chat template refuses this: roles should alternate: user, assistant, user, …',
      ),
    )
  })

  it('ends loops that would not', () => {
    expect(() => open('{% for i in range(10 ** 12) %}x{% endfor %}').applyChatTemplate(hello)).toThrow(ArgumentError)
    expect(() => open('{% for i in range(1000000000) %}x{% endfor %}').applyChatTemplate(hello)).toThrow(
      'range of 1000000000',
    )
  })

  it.each([
    ['no template', undefined, hello, {}, ArgumentError, 'have no chat template; give one with chatTemplate'],
    ['only named ones', [{ name: 'a', template: '' }], hello, {}, ArgumentError, 'choose one with chatTemplate: a'],
    [
      'a damaged one',
      '{% for %}',
      hello,
      {},
      FileError,
      'a file: tokenizer_config.json: the chat template is not valid',
    ],
    ['a damaged one of one’s own', chatml, hello, { chatTemplate: '{% if %}' }, ArgumentError, 'is not valid'],
    ['no messages', chatml, 'Hello', {}, ArgumentError, 'expected messages such as'],
    ['a message without role', chatml, [{ content: 'x' }], {}, ArgumentError, 'expected messages such as'],
    [
      'an unknown option',
      chatml,
      hello,
      { add_generation_prompt: true },
      ArgumentError,
      'did you mean addGenerationPrompt?',
    ],
    ['tools that are none', chatml, hello, { tools: [1] }, ArgumentError, 'tools should be a list of objects'],
    ['variables that are none', chatml, hello, { variables: [] }, ArgumentError, 'variables should be an object'],
    ['numbers too large for JSON', chatml, [{ role: 'user', content: 1n }], {}, ArgumentError, 'data as in JSON'],
  ])('refuses %s', (_, template, messages, options, kind, message) => {
    const render = (): unknown => open(template).applyChatTemplate(messages as never, options as never)
    expect(render).toThrow(kind)
    expect(render).toThrow(message)
  })

  it('refuses files that hold something else', () => {
    for (const template of [7, {}, [1], [{ name: 'a' }]]) expect(() => open(template)).toThrow(FileError)
  })

  it('reads chat_template.jinja of a folder', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'heedful-'))
    await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(tokenizers['llama2-style']!.tokenizer))
    await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify({ chat_template: 'old' }))
    await writeFile(join(folder, 'chat_template.jinja'), 'new')
    const tokenizer = await loadTokenizer(folder)
    expect(tokenizer.applyChatTemplate(hello, { tokenize: false })).toBe('new')
    await tokenizer.save(join(folder, 'copy'))
    expect((await loadTokenizer(join(folder, 'copy'))).applyChatTemplate(hello, { tokenize: false })).toBe('new')
    await rm(folder, { recursive: true })
  })
})
