import { nodeCrypto } from '#crypto-node'
import * as fc from 'fast-check'
import { createMemoryStore } from '#cloud'
import { createUplink } from '#fog'
import type { Summary } from '#messages'
import { device } from './cloud.ts'
import { memoryFogStore, memoryReceipts, newDisk } from './fog-store.ts'
import {
  cloudBehind,
  fogBench,
  report,
  settled,
  simulatedMeter,
  virtualClock,
  type SimulatedMeter,
} from './fog.ts'

/** What happens between meters that move, fogs and one cloud. */
export type Step =
  | { do: 'sign'; meter: number; count: number }
  /** The meter goes to this fog and sends what it holds; it may not hear what is answered. */
  | { do: 'visit'; meter: number; fog: number; blocks: number; hears: boolean }
  | { do: 'time'; seconds: number }
  /** The fog reaches the cloud. */
  | { do: 'forward'; fog: number }
  | { do: 'crash'; fog: number }
  /** Once all of it has reached the cloud, the fog's disk is replaced by an empty one. */
  | { do: 'replace'; fog: number }
  /** A copy of the cloud's store is taken. */
  | { do: 'backup' }
  /** The cloud's store becomes what the last copy has; an empty one without a copy. */
  | { do: 'restore' }

const meters = 2
const fogs = 3

export const anyMoves: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant('sign' as const),
        meter: fc.nat(meters - 1),
        count: fc.integer({ min: 1, max: 9 }),
      }),
    },
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant('visit' as const),
        meter: fc.nat(meters - 1),
        fog: fc.nat(fogs - 1),
        blocks: fc.integer({ min: 1, max: 6 }),
        hears: fc.boolean(),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant('time' as const),
        seconds: fc.constantFrom(1, 30, 400),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({ do: fc.constant('forward' as const), fog: fc.nat(fogs - 1) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant('crash' as const), fog: fc.nat(fogs - 1) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant('replace' as const), fog: fc.nat(fogs - 1) }),
    },
  ),
  { minLength: 10, maxLength: 60 },
)

/** The cores of three fogs and a cloud; meters that keep what was not receipted. */
export function movingWorld() {
  const clock = virtualClock()
  const cloudStore = createMemoryStore()
  let cloud = cloudBehind(cloudStore, clock)
  let copy = structuredClone(cloudStore.contents)
  const people = Array.from({ length: meters }, (_, index) =>
    simulatedMeter(`meter-${index + 1}`, index + 1),
  )
  const receipted = people.map(() => 0)
  const nodes = Array.from({ length: fogs }, (_, index) => newNode(`fog-${index + 1}`, 1))
  let channels = 0

  function newNode(name: string, store: number) {
    const disk = newDisk()
    return { name, store, disk, bench: fogBench({ disk, clock }), fog: device('fog', name) }
  }

  function tick(seconds: number): void {
    for (let left = seconds; left > 0; left -= 100) {
      clock.advance(Math.min(left, 100) * 1_000)
      for (const { bench } of nodes) bench.fog.tick()
    }
  }

  async function visit(step: Extract<Step, { do: 'visit' }>): Promise<void> {
    const [meter, node] = [people[step.meter], nodes[step.fog]]
    if (!meter || !node) return
    const cid = `channel-${++channels}`
    const { bench } = node
    bench.hello(cid, meter, (receipted[step.meter] ?? 0) + 1)
    let durable = receipted[step.meter] ?? 0
    for (const down of bench.take(cid)) {
      if (down.type === 'welcome') durable = Math.max(durable, down.durable)
    }
    const held = meter.state.blocks.filter(({ statement }) => statement.last > durable)
    bench.up(cid, ...held.slice(0, step.blocks).map(report))
    await settled()
    tick(1)
    for (const down of bench.take(cid)) {
      if (down.type === 'receipt') durable = Math.max(durable, down.durable)
    }
    if (step.hears) receipted[step.meter] = durable
    bench.fog.closed(cid)
  }

  /** One session between a fog and the cloud, until neither has anything to say. */
  function forward(index: number): void {
    const node = nodes[index]
    if (!node) return
    const { bench, fog } = node
    const cid = `uplink-${++channels}`
    const { outbox } = memoryFogStore(node.disk)
    const uplink = createUplink({
      outbox,
      store: node.store,
      clock,
      crypto: nodeCrypto,
      receipts: memoryReceipts(node.disk),
      onRevocations: () => undefined,
      credentialOf: (deviceId) => bench.fog.credentialOf(deviceId),
      onSuperseded: () => undefined,
      onSetBack: (setBack) => bench.fog.sendAgain(setBack),
      onWindowConflict: (startS) => bench.fog.yieldWindow(startS),
      onWithdraw: (deviceId, first, through) => bench.fog.withdraw(deviceId, first, through),
    })
    cloud.opened(cid, fog.credential)
    let up = uplink.onOpen('cloud-a')
    while (up.length > 0) {
      const outputs = up.flatMap((payload) => cloud.received(cid, fog.credential, payload))
      const down = [...outputs, ...cloud.flush()]
      up = down.flatMap((output) =>
        output.type === 'send' ? uplink.onMessage(output.payload) : [],
      )
      bench.fog.tick()
      up.push(...uplink.tick())
    }
    cloud.closed(cid)
  }

  function crash(index: number): void {
    const node = nodes[index]
    if (node) node.bench = fogBench({ disk: node.disk, clock })
  }

  function replace(index: number): void {
    const node = nodes[index]
    if (!node) return
    tick(1_000)
    forward(index)
    nodes[index] = newNode(node.name, node.store + 1)
  }

  function restore(): void {
    Object.assign(cloudStore.contents, structuredClone(copy))
    cloud = cloudBehind(cloudStore, clock)
  }

  async function perform(step: Step): Promise<void> {
    if (step.do === 'sign') people[step.meter]?.block(step.count)
    else if (step.do === 'visit') await visit(step)
    else if (step.do === 'time') tick(step.seconds)
    else if (step.do === 'forward') forward(step.fog)
    else if (step.do === 'crash') crash(step.fog)
    else if (step.do === 'backup') copy = structuredClone(cloudStore.contents)
    else if (step.do === 'restore') restore()
    else replace(step.fog)
  }

  /** Everybody delivers what is held somewhere, and every fog reaches the cloud until all is quiet. */
  async function settle(): Promise<void> {
    for (const meter of people.keys()) {
      await visit({ do: 'visit', meter, fog: meter % fogs, blocks: Infinity, hears: true })
    }
    for (let round = 0; round < 3; round++) {
      tick(1_000)
      for (const index of nodes.keys()) forward(index)
    }
  }

  /** Windows as the cloud has them, each in its latest revision. */
  function latest(): Summary[] {
    return cloudStore.contents.summaries.filter((entry) => entry.latest).map((s) => s.summary)
  }

  /** Numbers the cloud knows to be counted twice. */
  function doubled(): number {
    return cloudStore.contents.runs.reduce(
      (sum, run) => sum + Math.max(0, run.doubled - run.withdrawn),
      0,
    )
  }

  return { perform, settle, latest, doubled, people, nodes, contents: cloudStore.contents }
}

/** What the meters signed, each reading once. */
export function signed(people: readonly SimulatedMeter[]) {
  const all = people.map(({ state }) => state.blocks.flatMap(({ readings }) => readings))
  const advanced = (field: 'importWh' | 'exportWh') =>
    all.reduce((sum, list) => sum + (list.at(-1)?.[field] ?? 0) - (list[0]?.[field] ?? 0), 0)
  return {
    readings: all.flat().length,
    powerSumW: all.flat().reduce((sum, { powerW }) => sum + powerW, 0),
    voltageCount: all.flat().filter(({ voltageDv }) => voltageDv !== null).length,
    importWh: advanced('importWh'),
    exportWh: advanced('exportWh'),
  }
}

export function counted(summaries: readonly Summary[]) {
  const sum = (field: 'readings' | 'powerSumW' | 'voltageCount' | 'importWh' | 'exportWh') =>
    summaries.reduce((total, summary) => total + summary[field], 0)
  return {
    readings: sum('readings'),
    powerSumW: sum('powerSumW'),
    voltageCount: sum('voltageCount'),
    importWh: sum('importWh'),
    exportWh: sum('exportWh'),
  }
}
