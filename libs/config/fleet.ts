import { configProblem } from './load.ts'
import type { MeterConfig } from './schemas.ts'

/** One meter of a process: its name and its files. */
export interface MeterInstance {
  name: string
  /** 0 for the first; adds to `source.seed` and `source.house`, so that no two households are alike. */
  index: number
  identity: MeterConfig['identity']
  store: { path: string }
}

/**
 * The meters a configuration asks for. Without `fleet` it is one, called `name` (or `meter`); with
 * it, `{name}` in the paths stands for each meter's name, e.g. `meter-0001`. Keys are never shared; a
 * store may be, which is how a thousand meters commit together.
 * @throws config/invalid when several meters would share a key
 */
export function expandMeters(config: MeterConfig, path: string): MeterInstance[] {
  const { fleet } = config
  if (fleet === undefined) return [instance(config, config.name ?? 'meter', 0)]
  const { key } = config.identity
  if (fleet.count > 1 && !key.includes('{name}')) {
    const fix = 'put {name} into the path, so that each meter has its own'
    throw configProblem(path, 'identity.key', `found one file for ${fleet.count} meters; ${fix}`)
  }
  return Array.from({ length: fleet.count }, (_, index) => {
    const number = String(fleet.first + index).padStart(fleet.digits, '0')
    return instance(config, fleet.namePrefix + number, index)
  })
}

function instance(config: MeterConfig, name: string, index: number): MeterInstance {
  const named = (path: string) => path.replaceAll('{name}', name)
  const { key, credential, authority } = config.identity
  return {
    name,
    index,
    identity: { key: named(key), credential: named(credential), authority: named(authority) },
    store: { path: named(config.store.path) },
  }
}
