import { codeOf, CodedError } from '#errors'
import { createMeter, meterDefaults, type Meter, type MeterSettings } from '#meter'
import type { ClockFault } from './clock.ts'
import { createDeviceClock } from './clock.ts'
import { createDisk } from './disk.ts'
import { runSimInitiator, type SimInitiatorLink, type Target } from './initiator-link.ts'
import { openSimMeterStore } from './meter-store.ts'
import { createSource, type Source } from './source.ts'
import { createSupervisor, type Life, type Supervisor } from './supervisor.ts'
import { watchMeterStore } from './watch-meter.ts'
import { trustOf, type Surroundings } from './surroundings.ts'

/** One meter with its disk, its clock and its way to a fog node. */
export interface MeterNode {
  readonly supervisor: Supervisor
  readonly source: Source
  deviceId: string
  meter: Meter | null
  /** The operator points it at another fog node. */
  move(target: Target): void
  readonly target: Target
  /** Measures no more; the open block is signed. */
  finish(): void
  drained(): boolean
  /** Measurements that could not be recorded because the outbox was full. */
  refused: number
}

export interface MeterNodeOptions {
  surroundings: Surroundings
  deviceId: string
  /** Names for a meter enrolled again after it lost everything. */
  spareNames: string[]
  target: Target
  clockFault: ClockFault
}

/** Errors of one measurement: nothing was recorded, life goes on (apps/meter/group.ts). */
const single = new Set(['meter/outbox-full', 'reading/bad-value', 'reading/malformed'])
const busyTickMs = 10_000
const idleTickMs = 120_000

export function createMeterNode(options: MeterNodeOptions): MeterNode {
  const { engine, chance, plan, truth, people, crypto, mutation } = options.surroundings
  const drift = chance.between(-200, 200)
  const clock = createDeviceClock(engine, chance, { fault: options.clockFault, driftPpm: drift })
  const disk = createDisk(chance)
  const source = createSource(chance, clock, plan.powerOnly)
  let link: SimInitiatorLink | null = null
  let measuredAtMs = engine.nowMs
  let measuring = true
  let firstBoot = true
  const settings: MeterSettings = {
    ...meterDefaults,
    ...plan.block,
    mode: plan.mode,
    maxBlocks: plan.maxBlocks,
  }

  function boot(life: Life): void {
    const { deviceId } = node
    const store = watchMeterStore(
      mutation.meterStore?.(openSimMeterStore(disk)) ?? openSimMeterStore(disk),
      { truth, deviceId, disk, crypto, maxBlocks: plan.maxBlocks, source },
    )
    const own = people.identity(deviceId)
    const meter = createMeter({
      crypto,
      key: own.key,
      deviceId,
      clock,
      store,
      settings,
      boot: { id: clock.bootId, ageS: () => clock.ageS() },
      onEvent(event) {
        engine.note('meter-event', deviceId, event.type)
        if (event.type === 'numbers-raised') truth.meter(deviceId).forked = true
      },
    })
    node.meter = meter
    const send = (payloads: readonly Uint8Array[]) => {
      for (const payload of payloads) link?.send(payload)
    }
    /** As the group of apps/meter does: one commit, and only then does anything leave. */
    const together = (change: () => Uint8Array[]) => {
      let payloads: Uint8Array[] = []
      try {
        payloads = store.transaction(change)
      } catch (error) {
        if (!(error instanceof CodedError)) throw error
        engine.note('not-stored', deviceId, error.code)
        meter.reload()
        return
      }
      send(payloads)
    }
    const measure = () => {
      const measurement = source.measure(engine.nowMs - measuredAtMs)
      measuredAtMs = engine.nowMs
      together(() => {
        try {
          return meter.measure(measurement)
        } catch (error) {
          if (!single.has(codeOf(error))) throw error
          engine.note('refused', deviceId, codeOf(error))
          node.refused += 1
          return []
        }
      })
    }
    const loop = () => {
      if (!measuring) return
      measure()
      life.later(plan.intervalS * 1000, loop)
    }
    const tick = () => {
      together(() => {
        if (measuring || meter.status().openReadings === 0) return meter.tick()
        return [...meter.closeBlock(), ...meter.tick()]
      })
      if (link?.state === 'open' && meter.needsReconnect()) link.reconnect('delivery/stalled')
      // A block also ends by its age, which only a tick notices.
      const busy = link?.state === 'open' && (store.count() > 0 || !measuring)
      life.later(busy ? busyTickMs : idleTickMs, tick)
    }
    link = runSimInitiator({
      engine,
      clock,
      crypto,
      own,
      random: chance.bytes,
      trust: trustOf(options.surroundings, clock, own),
      peerRole: 'fog',
      limits: plan.limits,
      targets: [node.target],
      alive: life.alive,
      run: life.run,
      onOpen(rekey) {
        engine.note('open', deviceId, rekey ? 1 : 0)
        if (!rekey) send(meter.onOpen())
      },
      onMessage: (payload) => send(meter.onMessage(payload)),
      onClosed(code, retry) {
        engine.note('closed', deviceId, code)
        if (!retry) truth.violation(`${deviceId} was locked out: ${code}`)
        meter.onClosed()
      },
    })
    if (firstBoot) measuredAtMs = engine.nowMs
    firstBoot = false
    life.later(chance.between(0, plan.intervalS * 1000), loop)
    life.later(idleTickMs, tick)
  }

  const node: MeterNode = {
    deviceId: options.deviceId,
    meter: null,
    source,
    refused: 0,
    target: options.target,
    supervisor: createSupervisor({
      engine,
      chance,
      truth,
      disk,
      clock,
      boot,
      name: options.deviceId,
      cut(hang) {
        if (!hang) link?.close()
        node.meter = null
      },
      repair,
    }),
    move(target) {
      Object.assign(node, { target })
      node.supervisor.kill('kill', 1_000)
    },
    finish: () => (measuring = false),
    drained: () => node.meter !== null && !measuring && node.meter.drained(),
  }

  /** Nothing can be believed any more: it is enrolled again under a new name, with an empty disk. */
  function repair(): void {
    const name = options.spareNames.shift()
    if (name === undefined) return
    engine.note('enrolled-again', node.deviceId, name)
    for (const block of truth.meter(node.deviceId).blocks) {
      if (block.heldBy.size === 0) block.excused ??= 'lost with the meter'
    }
    disk.restore(new Map())
    source.newReader()
    node.deviceId = name
  }
  return node
}
