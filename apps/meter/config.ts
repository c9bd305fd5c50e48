import {
  configProblem,
  expandMeters,
  loadConfig,
  meterConfig,
  type MeterConfig,
  type MeterInstance,
} from '#config'
import { CodedError } from '#errors'

/** A checked configuration and the meters it asks for. */
export interface MeterPlan {
  config: MeterConfig
  instances: MeterInstance[]
}

/** Reads a meter's configuration. Throws `config/…`. */
export function loadMeterConfig(path: string, source?: string): MeterPlan {
  const loaded = loadConfig(meterConfig, path)
  const config =
    source === undefined ? loaded : { ...loaded, source: parseSource(source, loaded.source) }
  if (config.fleet !== undefined && config.fleet.count > 1 && config.source.kind === 'stdin') {
    throw configProblem(path, 'source.kind', 'found "stdin" for a fleet; one pipe feeds one meter')
  }
  return { config, instances: expandMeters(config, path) }
}

/**
 * A source from the command line: `sim`, `replay`, `stdin` or `csv:FILE`. Rhythm and start are kept
 * from the configured one as far as it has them. Throws `cli/bad-source`.
 */
export function parseSource(
  text: string,
  configured: MeterConfig['source'],
): MeterConfig['source'] {
  const { kind, file } = /^(?<kind>sim|replay|stdin|csv)(?::(?<file>.+))?$/.exec(text)?.groups ?? {}
  if (kind === undefined || (kind === 'csv') !== (file !== undefined)) {
    throw new CodedError(
      'cli/bad-source',
      `--source ${text}: write --source sim, --source replay, --source csv:FILE or --source stdin`,
    )
  }
  if (kind === 'stdin') return { kind }
  const { intervalSeconds = 60, timeScale = 1 } = configured.kind === 'stdin' ? {} : configured
  const rhythm = { intervalSeconds, timeScale }
  if (kind === 'csv') return { kind, file: file ?? '', loop: false, ...rhythm }
  if (configured.kind === kind) return configured
  const start = 'start' in configured ? configured.start : null
  if (kind === 'replay') return { kind, house: 0, start, ...rhythm }
  return { kind: 'sim', seed: 1, solarPeakW: 0, start, ...rhythm }
}
