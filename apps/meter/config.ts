import {
  configProblem,
  expandMeters,
  loadConfig,
  meterConfig,
  sourceAt,
  type MeterConfig,
  type MeterInstance,
} from '#config'
import { CodedError } from '#errors'
import { isPower } from './mqtt-table.ts'

const feedsOne: ReadonlySet<string> = new Set(['stdin', 'p1', 'sml', 'mqtt'])

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
  const { kind } = config.source
  if (config.fleet !== undefined && config.fleet.count > 1 && feedsOne.has(kind)) {
    const what = kind === 'stdin' ? 'pipe' : 'source'
    throw configProblem(
      path,
      'source.kind',
      `found "${kind}" for a fleet; one ${what} feeds one meter`,
    )
  }
  if (config.source.kind === 'mqtt' && !config.source.map.some(isPower)) {
    const fix = 'add one with value = "power", or "import_power"'
    throw configProblem(path, 'source.map', `found no row that makes a reading; ${fix}`)
  }
  return { config, instances: expandMeters(config, path) }
}

/**
 * A source from the command line: `sim`, `replay`, `stdin`, `csv:FILE`, `p1:PORT` or `sml:PORT`.
 * Whatever else the configured one says is kept as far as the two have it in common. Throws
 * `cli/bad-source`.
 */
export function parseSource(
  text: string,
  configured: MeterConfig['source'] | null,
): MeterConfig['source'] {
  const { kind = '', place } = /^(?<kind>[a-z0-9]+)(?::(?<place>.+))?$/.exec(text)?.groups ?? {}
  const source =
    place === undefined ? sourceOf(kind, configured) : sourceIn(kind, place, configured)
  if (source !== null) return source
  throw new CodedError(
    'cli/bad-source',
    `--source ${text}: write --source sim, --source replay, --source csv:FILE, --source stdin, ` +
      '--source p1:PORT or --source sml:PORT (a port is a device, a file, tcp://host:port or -)',
  )
}

function sourceOf(
  kind: string,
  configured: MeterConfig['source'] | null,
): MeterConfig['source'] | null {
  if (kind === 'stdin') return { kind }
  if (kind !== 'sim' && kind !== 'replay') return null
  if (configured?.kind === kind) return configured
  const start = configured !== null && 'start' in configured ? configured.start : null
  const common = { start, ...rhythmOf(configured) }
  if (kind === 'replay') return { kind, house: 0, ...common }
  return { kind, seed: 1, solarPeakW: 0, ...common }
}

function sourceIn(
  kind: string,
  place: string,
  configured: MeterConfig['source'] | null,
): MeterConfig['source'] | null {
  if (kind === 'csv') return { kind, file: place, loop: false, ...rhythmOf(configured) }
  if (kind !== 'p1' && kind !== 'sml') return null
  const source = sourceAt(kind, place)
  if (source === null || configured?.kind !== kind) return source
  return { ...configured, port: source.port }
}

function rhythmOf(configured: MeterConfig['source'] | null) {
  const timed = configured !== null && 'timeScale' in configured
  const { intervalSeconds, timeScale } = timed ? configured : { intervalSeconds: 60, timeScale: 1 }
  return { intervalSeconds, timeScale }
}
