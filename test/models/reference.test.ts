import { describeReference } from './reference-suite.ts'

describeReference('gpt2')
describeReference('llama-gqa')
