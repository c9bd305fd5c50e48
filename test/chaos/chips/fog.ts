import { createResponder } from '#channel'
import { createTrust } from '#credential'
import { nativeCrypto } from '#crypto-native'
import { createFog, fogDefaults, inlineVerifier } from '#fog'
import { decodeBlock, type Block } from '#reading'
import { memoryFogStore, newDisk } from '../../support/fog-store.ts'
import type { Provisioned } from '../../support/chip-people.ts'
import type { Chance } from '../../sim/chance.ts'
import { createDeviceClock } from '../../sim/clock.ts'
import type { Engine } from '../../sim/engine.ts'
import type { Broker } from '../../sim/network.ts'
import { runSimResponder } from '../../sim/responder-link.ts'

const TICK_MS = 250

/** The real core of a fog node behind a simulated broker, and what it holds. */
export function startFog(options: {
  engine: Engine
  chance: Chance
  broker: Broker
  own: Provisioned
  authorityKey: Uint8Array
}) {
  const { engine, chance, broker, own, authorityKey } = options
  const clock = createDeviceClock(engine, chance, { fault: 'none', driftPpm: 0 })
  const disk = newDisk()
  const unexpected: string[] = []
  const shared = { crypto: nativeCrypto, clock, random: chance.bytes }
  const trust = createTrust({ crypto: nativeCrypto, authorityKey, now: () => null })
  const responder = createResponder({ ...shared, own, trust, peerRole: 'meter', group: 'default' })
  const checks = inlineVerifier(nativeCrypto)
  const fog = createFog({
    ...shared,
    store: memoryFogStore(disk),
    verifier: {
      verify(...signed) {
        engine.settled()
        return checks.verify(...signed)
      },
    },
    settings: fogDefaults,
    version: 'chips',
    onUnexpected: (error, deviceId) => void unexpected.push(`${deviceId}: ${String(error)}`),
    link: {
      send: (cid, payload) => void link.send(cid, payload),
      drop: (cid, code) => link.drop(cid, code),
    },
  })
  const link = runSimResponder({
    ...shared,
    engine,
    broker,
    responder,
    alive: () => true,
    run: (work) => work(),
    onOpened: () => undefined,
    onOpen: (cid, peer) => fog.open(cid, peer),
    onMessage: (cid, _peer, payload) => {
      void fog.receive(cid, payload)
      tickSoon()
    },
    onClosed: (cid) => fog.closed(cid),
  })
  let due = false
  let commits = 0

  /** Commits come after messages; nothing else here needs the time. */
  function tickSoon(): void {
    if (due) return
    due = true
    engine.after(TICK_MS, () => {
      due = false
      fog.tick()
      // Receipts of one meter are spaced: look again when the next one may go.
      if (fog.inFlight() > 0 || fog.counters().commits !== commits) tickSoon()
      commits = fog.counters().commits
    })
  }

  return {
    unexpected,
    /** Every block that became durable, in order, by meter. */
    blocks(): Map<string, Block[]> {
      const held = new Map<string, Block[]>()
      for (const { meterId, body } of disk.groups.flatMap(({ blocks }) => blocks ?? [])) {
        const { deviceId } = disk.meters.get(meterId)!
        held.set(deviceId, [
          ...(held.get(deviceId) ?? []),
          decodeBlock(nativeCrypto, body, deviceId),
        ])
      }
      return held
    },
  }
}
