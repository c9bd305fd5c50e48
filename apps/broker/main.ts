import { brokerConfig, loadConfig } from '#config'
import { runProgram } from '#service'
import { runBroker } from './run.ts'

await runProgram({
  name: 'broker',
  about: 'carries sealed messages between meters (or fog nodes) and the agent beside it',
  load: (path) => loadConfig(brokerConfig, path),
  start: runBroker,
})
