import { createResponder } from '#channel'
import { createCloud, type Cloud, type CloudOutput } from '#cloud'
import { createTrust } from '#credential'
import { codeOf } from '#errors'
import type { ClockFault } from './clock.ts'
import { createDeviceClock } from './clock.ts'
import { openSimCloudStore } from './cloud-store.ts'
import type { Disk } from './disk.ts'
import { nodeOwner, type Broker } from './network.ts'
import { runSimResponder, type SimResponderLink } from './responder-link.ts'
import { createSupervisor, type Life, type Supervisor } from './supervisor.ts'
import { trustOf, type Surroundings } from './surroundings.ts'

/** One cloud service with its broker; several may share a database. */
export interface CloudNode {
  readonly deviceId: string
  readonly broker: Broker
  readonly disk: Disk
  readonly supervisor: Supervisor
}

export interface CloudNodeOptions {
  surroundings: Surroundings
  deviceId: string
  broker: Broker
  disk: Disk
  clockFault: ClockFault
}

export function createCloudNode(options: CloudNodeOptions): CloudNode {
  const { surroundings, deviceId, broker, disk } = options
  const { engine, chance, plan, truth, people, crypto, mutation } = surroundings
  const drift = chance.between(-200, 200)
  const clock = createDeviceClock(engine, chance, { fault: options.clockFault, driftPpm: drift })
  const own = people.identity(deviceId)
  const { authorityKey } = people
  let link: SimResponderLink | null = null

  function boot(life: Life): void {
    const store = openSimCloudStore(disk, chance, (tx) => mutation.cloudTx?.(tx, chance) ?? tx)
    const cloud: Cloud = createCloud({
      crypto,
      clock,
      store,
      trust: createTrust({ crypto, authorityKey, now: () => null }),
    })
    let due: number | null = null

    function perform(outputs: readonly CloudOutput[]): void {
      for (const output of outputs) {
        if (!life.alive()) return
        if (output.type === 'send') link?.send(output.cid, output.payload)
        else if (output.type === 'drop') link?.drop(output.cid, output.code)
        else if (output.type === 'failed') {
          engine.note('cloud-failed', deviceId, codeOf(output.error))
          // A defect of ours must not pass as a failing disk.
          if (codeOf(output.error) === 'unexpected' && !disk.off) throw output.error
        }
      }
      schedule()
    }

    function schedule(): void {
      const at = cloud.nextTickAt()
      if (at === null || due !== null) return
      due = at
      life.later(Math.max(0, at - clock.monotonic()), () => {
        due = null
        perform(cloud.tick())
      })
    }

    const trust = trustOf(surroundings, clock, own)
    link = runSimResponder({
      engine,
      clock,
      random: chance.bytes,
      broker,
      alive: life.alive,
      run: life.run,
      responder: createResponder({
        crypto,
        clock,
        random: chance.bytes,
        own,
        trust,
        limits: plan.limits,
        peerRole: 'fog',
        group: 'default',
      }),
      onOpened: () => undefined,
      onOpen: (cid, peer) => perform(cloud.opened(cid, peer)),
      onMessage: (cid, peer, payload) => perform(cloud.received(cid, peer, payload)),
      onClosed: (cid) => cloud.closed(cid),
    })
  }

  return {
    deviceId,
    broker,
    disk,
    supervisor: createSupervisor({
      engine,
      chance,
      truth,
      disk,
      clock,
      boot,
      name: deviceId,
      cut(hang) {
        if (hang) broker.halfOpen(nodeOwner)
        else link?.close()
      },
      repair: () => undefined,
    }),
  }
}
