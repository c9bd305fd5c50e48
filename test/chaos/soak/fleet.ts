import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { enrol } from '#identity'
import { prepareCluster, type Cluster } from '../../../apps/demo/cluster.ts'
import { freePorts } from '../../../apps/demo/ports.ts'

/** A cloud, a fog node, and a fleet of meters in one process and one store. */
export async function prepareFleet(plan: {
  dir: string
  meters: number
  /** Readings a second of each meter. */
  rate: number
}): Promise<Cluster> {
  const { dir, meters, rate } = plan
  const cluster = await prepareCluster({
    dir,
    fogs: 1,
    meters: 0,
    source: '',
    block: '',
    window: 'idle_seconds = 3\nrevision_delay_ms = 500',
  })
  const [port = 0] = await freePorts(1)
  const folder = join(dir, 'authority')
  const store = join(dir, 'state/fleet.db')
  const config = join(dir, 'config/fleet.toml')
  for (let number = 1; number <= meters; number++) {
    const name = `meter-${String(number).padStart(4, '0')}`
    enrol(folder, 'meter', name)
    cluster.meters.push({ name, fog: 'fog-1', store })
  }
  const broker = cluster.specs.find(({ name }) => name === 'fog-1-broker')
  writeFileSync(
    config,
    [
      'node = "fog-1"',
      `fleet = { count = ${meters} }`,
      `broker = { url = "mqtt://127.0.0.1:${portOf(broker?.config)}" }`,
      '[identity]',
      `key = "${join(folder, 'enrolled/{name}/{name}.key')}"`,
      `credential = "${join(folder, 'enrolled/{name}/{name}.cwt')}"`,
      `authority = "${join(folder, 'authority.pub')}"`,
      `[store]\npath = "${store}"`,
      `[source]\nkind = "sim"\ninterval_seconds = 1\ntime_scale = ${rate}\njitter_seconds = 1`,
      'solar_peak_w = 6000\nsolar_percent = 30\nheat_pump_percent = 20\ncar_percent = 20',
      `[metrics]\nlisten = "127.0.0.1:${port}"`,
      '',
    ].join('\n'),
    { mode: 0o600 },
  )
  cluster.specs.push({
    name: 'fleet',
    program: 'meter',
    config,
    port,
    log: join(dir, 'log/fleet.log'),
  })
  return cluster
}

function portOf(config: string | undefined): number {
  return Number(
    /listen = \["mqtt:\/\/127\.0\.0\.1:(\d+)"\]/.exec(
      config === undefined ? '' : readFileSync(config, 'utf8'),
    )?.[1],
  )
}
