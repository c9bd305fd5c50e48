import {
  configProblem,
  expandMeters,
  loadConfig,
  meterConfig,
  sourceFrom,
  type MeterConfig,
  type MeterInstance,
  type ModbusSource,
} from '#config'
import { CodedError } from '#errors'
import { blocksOf } from '#modbus'
import { isFound } from './finding.ts'
import { rowsOf } from './modbus-source.ts'
import { isPower } from './value-names.ts'

const feedsOne: ReadonlySet<string> = new Set(['stdin', 'p1', 'sml', 'modbus', 'mqtt'])

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
  const problem = tableProblem(config.source)
  if (problem !== null) throw configProblem(path, 'source.map', problem)
  refuseTrustInFound(config, path)
  return { config, instances: expandMeters(config, path) }
}

/** What is wrong with the table of a source, null when nothing is or it needs none. */
function tableProblem(source: MeterConfig['source']): string | null {
  if (source.kind === 'modbus' && source.profile !== undefined) {
    return source.map.length === 0 ? null : 'found rows beside a profile; leave one of them out'
  }
  if (source.kind !== 'mqtt' && source.kind !== 'modbus') return null
  if (!source.map.some(isPower)) {
    const fix = 'add one with value = "power", or "import_power"'
    const orProfile = source.kind === 'modbus' ? ', or a profile' : ''
    return `found no row that makes a reading; ${fix}${orProfile}`
  }
  return source.kind === 'modbus' ? blockProblem(source) : null
}

function blockProblem(source: ModbusSource): string | null {
  try {
    blocksOf(rowsOf(source))
    return null
  } catch (error) {
    if (error instanceof CodedError) return error.message
    throw error
  }
}

/** Whoever answers by mDNS would be told the password, and no certificate is for an address. */
function refuseTrustInFound({ broker }: MeterConfig, path: string): void {
  const { url, ca, username, passwordFile } = broker
  if (!isFound(url) || (ca ?? username ?? passwordFile) === undefined) return
  const fix = 'remove ca, username and password_file, or give its address'
  throw configProblem(path, 'broker.url', `found "${url}" for a broker with a secret; ${fix}`)
}

/**
 * A source from the command line: `sim`, `replay`, `stdin`, `csv:FILE`, `p1:PORT`, `sml:PORT` or
 * `modbus:PORT?profile=…&unit=…`. Whatever else the configured one says is kept as far as the two
 * have it in common. Throws `cli/bad-source`.
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
      '--source p1:PORT or --source sml:PORT (a port is a device, a file, tcp://host:port or -), or ' +
      '--source modbus:PORT?profile=NAME&unit=1 (sunspec, sdm120 or sdm630, at a device or tcp://host)',
  )
}

function sourceOf(
  kind: string,
  configured: MeterConfig['source'] | null,
): MeterConfig['source'] | null {
  if (kind === 'stdin') return { kind }
  if (kind !== 'sim' && kind !== 'replay') return null
  if (configured?.kind === kind) return configured
  const source = sourceFrom({ kind })
  if (source === null) return null
  const start = configured !== null && 'start' in configured ? configured.start : null
  return { ...source, start, ...rhythmOf(configured) }
}

function sourceIn(
  kind: string,
  place: string,
  configured: MeterConfig['source'] | null,
): MeterConfig['source'] | null {
  if (kind === 'csv') return { kind, file: place, loop: false, ...rhythmOf(configured) }
  if (kind === 'modbus') return modbusIn(place, configured)
  if (kind !== 'p1' && kind !== 'sml') return null
  const source = sourceFrom({ kind, port: place })
  if (source === null || configured?.kind !== kind) return source
  return { ...configured, port: source.port }
}

/** The port, and behind a question mark what is not as configured: `unit`, `profile`, `serial`. */
function modbusIn(place: string, configured: MeterConfig['source'] | null): ModbusSource | null {
  const [port = '', query = '', ...rest] = place.split('?')
  const given = Object.fromEntries(new URLSearchParams(query))
  const { unit, ...others } = given
  if (rest.length > 0 || (unit !== undefined && !/^\d{1,3}$/.test(unit))) return null
  const before = configured?.kind === 'modbus' ? configured : null
  const profile = before !== null && !('profile' in given) ? { profile: 'sunspec' } : {}
  const keys = { ...profile, ...others, ...(unit !== undefined && { unit: Number(unit) }) }
  const source = sourceFrom({ ...keys, kind: 'modbus', port })
  if (source?.profile === undefined) return null
  if (before === null) return source
  const changed = Object.keys(given) as (keyof ModbusSource)[]
  const entries = (['port', ...changed] as const).map((key) => [key, source[key]])
  const merged = { ...before, ...(Object.fromEntries(entries) as Partial<ModbusSource>) }
  return 'profile' in given ? { ...merged, map: [] } : merged
}

function rhythmOf(configured: MeterConfig['source'] | null) {
  const timed = configured !== null && 'timeScale' in configured
  const { intervalSeconds, timeScale } = timed ? configured : { intervalSeconds: 60, timeScale: 1 }
  return { intervalSeconds, timeScale }
}
