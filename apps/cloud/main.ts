import { cloudConfig, loadConfig } from '#config'
import { runProgram } from '#service'
import { runCloud } from './run.ts'

await runProgram({
  name: 'cloud',
  about: 'stores what fog nodes deliver and answers queries',
  load: (path) => loadConfig(cloudConfig, path),
  start: runCloud,
})
