import { createResponder } from '#channel'
import { codeOf, CodedError } from '#errors'
import { createFog, createUplink, fogDefaults, type Fog, type FogSettings, type Uplink } from '#fog'
import type { ClockFault } from './clock.ts'
import { createDeviceClock } from './clock.ts'
import { createDisk } from './disk.ts'
import type { Engine } from './engine.ts'
import { openSimFogStore } from './fog-store.ts'
import { runSimInitiator, type SimInitiatorLink, type Target } from './initiator-link.ts'
import type { Broker } from './network.ts'
import { nodeOwner } from './network.ts'
import type { Plan } from './plan.ts'
import { runSimResponder, type SimResponderLink } from './responder-link.ts'
import { createSupervisor, textOf, type Life, type Supervisor } from './supervisor.ts'
import { trustOf, type Surroundings } from './surroundings.ts'
import { simVerifier } from './verifier.ts'
import { watchFogStore, type WatchFogOptions } from './watch-fog.ts'

/** One fog node: its own broker, its agent, its way to the clouds. */
export interface FogNode {
  readonly deviceId: string
  readonly broker: Broker
  readonly supervisor: Supervisor
  fog: Fog | null
  /** The operator points it at other cloud services. */
  move(targets: readonly Target[]): void
  /** Everything taken is summed up and acknowledged by a cloud. */
  drained(): boolean
}

export interface FogNodeOptions {
  surroundings: Surroundings
  deviceId: string
  broker: Broker
  targets: readonly Target[]
  clockFault: ClockFault
  inCloud: WatchFogOptions['inCloud']
}

const noBacklog = () => 0
const busyTickMs = 60
const idleTickMs = 120_000
/** While something waits for a cloud. */
const deliveringTickMs = 10_000
/** A real one tries again at once, which here would be most of all events. */
const failedTickMs = 5_000
const pruneMs = 3_600_000

export function createFogNode(options: FogNodeOptions): FogNode {
  const { surroundings, deviceId, broker } = options
  const { engine, chance, plan, truth, people, crypto, mutation } = surroundings
  const drift = chance.between(-200, 200)
  const clock = createDeviceClock(engine, chance, { fault: options.clockFault, driftPpm: drift })
  const disk = createDisk(chance)
  const own = people.identity(deviceId)
  let { targets } = options
  let link: SimResponderLink | null = null
  let up: SimInitiatorLink | null = null
  let backlog = noBacklog

  function boot(life: Life): void {
    const opened = openSimFogStore(disk, chance, plan.maxItems)
    const store = watchFogStore(mutation.fogStore?.(opened, disk) ?? opened, {
      truth,
      deviceId,
      disk,
      maxItems: plan.maxItems,
      inCloud: options.inCloud,
    })
    backlog = () => {
      const { items, lostFromS } = store.backlog()
      return items + Number(lostFromS !== null)
    }
    const { limits } = plan
    const trust = trustOf(surroundings, clock, own)
    const shared = { crypto, clock, random: chance.bytes, own, trust, limits, group: 'default' }
    const responder = createResponder({ ...shared, peerRole: 'meter' })
    const channels = new Set<string>()
    const toMeters = {
      send: (cid: string, payload: Uint8Array) => void link?.send(cid, payload),
      drop: (cid: string, code: string) => link?.drop(cid, code),
    }
    const fog = createFog({
      crypto,
      clock,
      store,
      settings: settingsOf(plan),
      version: 'sim',
      verifier: simVerifier(surroundings, life),
      onUnexpected: (error) => truth.violation(`${deviceId} met a defect: ${textOf(error)}`),
      onDamagedItem: ({ number, lost }) =>
        engine.note('item-damaged', deviceId, number, lost ? 'lost' : 'made again'),
      link: mutation.meterLink?.(toMeters, channels, chance) ?? toMeters,
    })
    node.fog = fog
    const guarded = (what: string, work: () => void) => {
      try {
        work()
        return true
      } catch (error) {
        if (!(error instanceof CodedError)) throw error
        engine.note(what, deviceId, codeOf(error))
        return false
      }
    }
    let due = Infinity
    let commits = 0
    const tickWithin = (ms: number) => {
      const at = engine.nowMs + ms
      if (at >= due) return
      due = at
      engine.after(ms, () => {
        if (due !== at) return
        due = Infinity
        life.run(tick)
      })
    }
    const tick = () => {
      const failed = !guarded('tick-failed', () => fog.tick())
      if (fog.inFlight() > 2 * settingsOf(plan).maxInFlight) truth.violation(`${deviceId} is full`)
      uplinkTick()
      // Receipts of one meter are spaced: look again when the next one may go.
      if (fog.counters().commits !== commits) tickWithin(fogDefaults.receiptMs)
      commits = fog.counters().commits
      if (failed) tickWithin(failedTickMs)
      else if (fog.inFlight() > 0) tickWithin(busyTickMs)
      else tickWithin(up?.state === 'open' && backlog() > 0 ? deliveringTickMs : idleTickMs)
    }
    link = runSimResponder({
      engine,
      clock,
      random: chance.bytes,
      broker,
      alive: life.alive,
      run: life.run,
      responder: mutation.responder?.(responder) ?? responder,
      onOpened: openedOnce(surroundings),
      onOpen(cid, peer) {
        channels.add(cid)
        fog.open(cid, peer)
      },
      onMessage(cid, _peer, payload) {
        void fog.receive(cid, payload)
        tickWithin(busyTickMs)
      },
      onClosed(cid) {
        channels.delete(cid)
        fog.closed(cid)
      },
    })
    const uplink = createUplink({
      outbox: store.outbox,
      receipts: opened.receipts,
      store: opened.id,
      clock,
      crypto,
      onRevocations: () => undefined,
      onSuperseded: () => undefined,
      onSetBack: (setBack) => fog.sendAgain(setBack),
      onWindowConflict: (startS) => fog.yieldWindow(startS),
      onWithdraw: (device, first, through) => fog.withdraw(device, first, through),
      credentialOf: (device) => fog.credentialOf(device),
      onEvent: (event) => {
        if (event.type === 'raised') fog.forgotten(event)
      },
    })
    const onOpen = () => tickWithin(deliveringTickMs)
    up = runUplink(options, { ...shared, targets, uplink, life, onOpen })
    const uplinkTick = () => {
      for (const payload of uplink.tick()) up?.send(payload)
      if (uplink.needsReconnect()) up?.reconnect('uplink/silent')
    }
    const prune = () => {
      guarded('prune-failed', () => {
        fog.prune(Math.floor(clock.now() / 1000) - plan.retentionDays * 86_400)
      })
      life.later(pruneMs, prune)
    }
    tickWithin(1)
    life.later(pruneMs, prune)
  }

  const node: FogNode = {
    deviceId,
    broker,
    fog: null,
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
        else {
          link?.close()
          up?.close()
        }
        node.fog = null
      },
      repair() {
        engine.note('disk-replaced', deviceId)
        disk.restore(new Map())
        const fog = truth.fog(deviceId)
        fog.replaced += 1
        fog.held.clear()
      },
    }),
    move(next) {
      targets = next
      node.supervisor.kill('kill', 1_000)
    },
    drained: () =>
      node.fog !== null &&
      node.fog.openWindows() === 0 &&
      node.fog.waitingReadings() === 0 &&
      node.fog.inFlight() === 0 &&
      backlog() === 0,
  }
  return node
}

function settingsOf(plan: Plan): FogSettings {
  const seconds = plan.windowSeconds
  return {
    ...fogDefaults,
    window: { ...fogDefaults.window, seconds, activeSeconds: Math.max(2 * seconds, 900) },
  }
}

/** No record may be taken twice, whatever the network repeats. */
function openedOnce({ truth, engine }: Surroundings): (cid: string, frame: Uint8Array) => void {
  const opened = new Set<string>()
  return (cid, frame) => {
    const key = cid + String.fromCharCode(...frame)
    if (opened.has(key)) truth.violation(`a record of ${cid} was opened twice`)
    opened.add(key)
    engine.note('opened', cid, frame.length)
  }
}

function runUplink(
  { surroundings: { engine, truth }, deviceId }: FogNodeOptions,
  shared: Pick<
    Parameters<typeof runSimInitiator>[0],
    'crypto' | 'clock' | 'random' | 'own' | 'trust' | 'targets'
  > & { limits: Plan['limits']; uplink: Uplink; life: Life; onOpen(): void },
): SimInitiatorLink {
  const { uplink, life } = shared
  const send = (payloads: readonly Uint8Array[]) => {
    for (const payload of payloads) link.send(payload)
  }
  const link: SimInitiatorLink = runSimInitiator({
    ...shared,
    engine,
    peerRole: 'cloud',
    alive: life.alive,
    run: life.run,
    onOpen(rekey) {
      engine.note('uplink', deviceId, rekey ? 1 : 0)
      if (!rekey) send(uplink.onOpen(link.node))
      shared.onOpen()
    },
    onMessage: (payload) => send(answered(engine, uplink, payload)),
    onClosed(code, retry) {
      engine.note('uplink-closed', deviceId, code)
      if (!retry) truth.violation(`${deviceId} was locked out: ${code}`)
      uplink.onClosed()
    },
  })
  return link
}

/** What cannot be used now is passed over, as apps/agent/uplink.ts does; the cloud says it again. */
function answered(engine: Engine, uplink: Uplink, payload: Uint8Array): Uint8Array[] {
  try {
    return uplink.onMessage(payload)
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    engine.note('uplink-failed', error.code)
    return []
  }
}
