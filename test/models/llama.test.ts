import { describeReference } from './reference-suite.ts'

describeReference('llama-gqa')
