import { setFlagsFromString } from 'node:v8'
import type { AgentConfig } from '#config'
import { CLOCK_SLACK_S, createTrust, judgingTime } from '#credential'
import { curveLibrary, nativeCrypto } from '#crypto-native'
import { loadIdentity } from '#identity'
import {
  createMetrics,
  startMetrics,
  systemClock,
  type RunningService,
  type ServiceContext,
} from '#service'
import { addMetrics } from './metrics.ts'
import { startNode } from './node.ts'
import { followRevocations, type Revocations } from './revocations.ts'
import { startUplink } from './uplink.ts'

/** The fog node's agent. Throws coded errors for everything a configuration can get wrong. */
export async function runAgent(
  { log, notify }: Pick<ServiceContext, 'log' | 'notify'>,
  config: AgentConfig,
): Promise<RunningService & { metricsPort: number | null }> {
  collectAlone()
  const identity = loadIdentity(config.identity)
  const own = {
    credential: identity.credential,
    key: nativeCrypto.signingKey(identity.signingSecret),
  }
  const revocations: Revocations = followRevocations({
    path: config.identity.revocations,
    memoryPath: `${config.store.path}.revoked`,
    identity,
    log,
    onChange: (list) => {
      node.fog.revoke(list)
      node.recheck()
    },
  })
  const trust = createTrust({
    crypto: nativeCrypto,
    authorityKey: identity.authorityKey,
    now: judgingTime(systemClock, identity.credential),
    slackS: CLOCK_SLACK_S,
    revocations: () => revocations.current(),
  })
  const node = startNode({ config, own, trust, log, notify })
  const list = revocations.current()
  if (list) node.fog.revoke(list)
  const uplink = startUplink({
    cloud: config.cloud,
    own,
    trust,
    outbox: node.store.outbox,
    receipts: node.store.receipts,
    fog: node.fog,
    store: node.store.id,
    log,
    onRevocations: (encoded) => revocations.offer(encoded),
    credentialOf: (deviceId) => node.fog.credentialOf(deviceId),
    onWithdraw: (deviceId, first, through) => node.fog.withdraw(deviceId, first, through),
  })
  const metrics = createMetrics('agent')
  addMetrics(metrics, node, uplink)
  const server = await startMetrics({
    listen: config.metrics.listen,
    registry: metrics.registry,
    health: () => node.health(),
  })
  const where = { node: identity.deviceId, metricsPort: server.port }
  log.info({ event: 'listening', ...where, curves: curveLibrary }, 'agent is ready')
  return {
    metricsPort: server.port,
    status: `serving meters as ${identity.deviceId}`,
    stop: async () => {
      revocations.close()
      await uplink?.close()
      await node.close()
      await server.close()
    },
  }
}

/**
 * Young objects are collected by the thread that made them. With two to four cores V8's helpers for
 * it are in the way of the verifying threads; without them the agent spends up to a tenth less CPU.
 */
function collectAlone(): void {
  setFlagsFromString('--no-parallel-scavenge')
}
