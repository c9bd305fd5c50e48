import { agentConfig, loadConfig } from '#config'
import { runProgram } from '#service'
import { runAgent } from './run.ts'

await runProgram({
  name: 'agent',
  about: 'the fog node: checks, stores, receipts and sums up what its meters send',
  load: (path) => loadConfig(agentConfig, path),
  start: runAgent,
})
