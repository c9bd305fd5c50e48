/** Where a meter's values come from without a meter: real days, a simulation, files, a pipe. README.md. */
export {
  formatExcerpt,
  parseExcerpt,
  replayDay,
  type ExcerptDay,
  type MinuteSample,
} from './excerpt.ts'
export { loadExcerpt, readCsv } from './files.ts'
export { arrivalDelayS, homeOf } from './fleet.ts'
export { integrate, registersAt } from './registers.ts'
export { simulate, type SimulatedSample, type SimulationOptions } from './simulate.ts'
export { parseCsv } from './csv.ts'
export { parseJsonLine } from './json-line.ts'
export type { SourceReading } from './sample.ts'
