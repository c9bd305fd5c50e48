import { readFileSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { createBroker, type Broker, type TlsFiles } from '#broker'
import type { BrokerConfig } from '#config'
import { CodedError } from '#errors'
import { announceFog, type Announcement } from '#mdns'
import { createMetrics, startMetrics, systemClock, systemRandom } from '#service'
import type { RunningService, ServiceContext } from '#service'
import { describeBroker } from './metrics.ts'

/**
 * The keyless MQTT broker of a fog node or of the cloud. Logs `listening` with the ports it got.
 * Throws coded errors for everything a configuration can get wrong.
 */
export async function runBroker(
  context: Pick<ServiceContext, 'log' | 'notify'>,
  config: BrokerConfig,
): Promise<RunningService> {
  // A young generation that stays small: nearly everything here lives for one message. It halves what
  // an idle connection costs in resident memory (test/attack/broker-memory.test.ts measures it).
  setFlagsFromString('--semi-space-growth-factor=1')
  // What is left of opening connections is collected before it is as much again as the connections.
  setFlagsFromString('--heap-growing-percent=30')
  const { log } = context
  const { node, listen, limits, local } = config
  if (config.discovery.mdns) refuseUnfindable(config)
  const tls = config.tls === undefined ? null : readTls(config.tls)
  const broker = await createBroker({
    node,
    listen,
    limits,
    tls,
    log,
    socket: local.socket,
    clock: systemClock,
  })
  const metrics = createMetrics('broker')
  describeBroker(metrics, broker)
  const server = await startMetrics({
    listen: config.metrics.listen,
    registry: metrics.registry,
    health: () => broker.health(),
  }).catch(async (error: unknown) => {
    await broker.close()
    throw error
  })
  const { ports } = broker
  const where = { ports, socket: local.socket, metricsPort: server.port }
  log.info({ event: 'listening', node, ...where }, 'listening')
  const announcement = config.discovery.mdns ? announce(config, ports, log) : null
  const endWatchdog = feedWatchdog(broker, context)
  return {
    status: `listening on ${ports.join(', ')}`,
    stop: async () => {
      endWatchdog()
      await announcement?.close()
      await broker.close()
      await server.close()
    },
  }
}

/** What is found by mDNS is an address, which no certificate is for. */
function refuseUnfindable({ listen }: BrokerConfig): void {
  if (listen.some(({ tls }) => !tls)) return
  const message =
    '[discovery] mdns announces a plain listener: add "mqtt://0.0.0.0:1883" to listen (messages are ' +
    'sealed end to end), or leave it off and give meters the address'
  throw new CodedError('broker/no-plain-listener', message)
}

function announce(
  { node, listen }: BrokerConfig,
  ports: readonly number[],
  log: ServiceContext['log'],
): Announcement {
  const index = listen.findIndex(({ tls }) => !tls)
  const { host = '' } = listen[index] ?? {}
  const everywhere = ['0.0.0.0', '::', '[::]'].includes(host)
  return announceFog({
    node,
    port: ports[index] ?? 0,
    covers: (address) => everywhere || address === host,
    clock: systemClock,
    random: systemRandom,
    log,
  })
}

/** The watchdog lives on messages that came through the broker, not on the timer that sends them. */
function feedWatchdog(
  broker: Broker,
  { log, notify }: Pick<ServiceContext, 'log' | 'notify'>,
): () => void {
  const timer = setInterval(() => {
    broker.probe().then(
      () => notify.watchdog(),
      (error: unknown) => log.error({ err: error }, 'a message did not come through'),
    )
  }, notify.probeMs)
  return () => clearInterval(timer)
}

function readTls(paths: { key: string; cert: string }): TlsFiles {
  const read = (name: 'key' | 'cert') => {
    try {
      return readFileSync(paths[name], 'utf8')
    } catch (error) {
      const message = `tls.${name} cannot be read: ${String(error)}; give the path of a PEM file`
      throw new CodedError('broker/tls', message, { cause: error })
    }
  }
  return { key: read('key'), cert: read('cert') }
}
