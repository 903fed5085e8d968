import { describeReference } from './reference-suite.ts'

describeReference('gpt2')
