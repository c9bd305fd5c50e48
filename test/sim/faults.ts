import { createDisk } from './disk.ts'
import type { FogNode } from './fog-node.ts'
import { nodeOwner, type Broker } from './network.ts'
import type { Supervisor } from './supervisor.ts'
import { rottenBlock } from './truth.ts'
import type { World } from './world.ts'

const hourMs = 3_600_000

/** Plans every accident of a run up to `untilMs`; each kind at random moments of its own. */
export function scheduleFaults(world: World, untilMs: number): void {
  const { everyHours } = world.plan
  const repeat = (meanHours: number, accident: () => void) => {
    if (meanHours === 0) return
    const next = () => {
      world.engine.after(world.chance.wait(meanHours * hourMs), () => {
        if (world.engine.nowMs >= untilMs) return
        accident()
        next()
      })
    }
    next()
  }
  repeat(everyHours.kill, () => killSomebody(world))
  repeat(everyHours.partition, () => partition(world, 600_000))
  repeat(everyHours.longOutage, () => partition(world, 5 * hourMs))
  repeat(everyHours.halfOpen, () => {
    const { broker, owner } = someConnection(world)
    broker.halfOpen(owner)
  })
  repeat(everyHours.brokerRestart, () => {
    world.chance.pick(brokers(world)).restart(world.chance.int(200, 60_000))
  })
  repeat(everyHours.disk, () => troubleDisk(world, untilMs))
  repeat(everyHours.clockStep, () => stepClock(world))
  repeat(everyHours.move, () => move(world))
  repeat(everyHours.zeroRegister, () => world.chance.pick(world.meters).source.showZero())
  if (world.plan.restore) {
    world.engine.after(world.chance.between(0.1, 0.7) * untilMs, () => restoreCloud(world, untilMs))
  }
  if (world.plan.rot) {
    world.engine.after(world.chance.between(0.2, 0.9) * untilMs, () => rot(world, untilMs))
  }
}

const supervisors = (world: World): Supervisor[] =>
  [...world.meters, ...world.fogs, ...world.clouds].map(({ supervisor }) => supervisor)

const brokers = (world: World): Broker[] =>
  [...world.fogs, ...world.clouds].map(({ broker }) => broker)

/** At once, or in the middle of its next commit, before or after the data is safe. */
function killSomebody(world: World): void {
  const { chance } = world
  const nodes = [...world.fogs, ...world.clouds].map((node) => node.supervisor)
  const meters = world.meters.map((meter) => meter.supervisor)
  const supervisor = chance.pick(chance.happens(0.5) ? nodes : meters)
  const how = chance.pick(['kill', 'power', 'before', 'after'] as const)
  world.engine.note('kill', supervisor.name, how)
  if (how === 'before' || how === 'after') supervisor.disk.cut = how
  else supervisor.kill(how, chance.happens(0.1) ? chance.int(1, hourMs) : chance.int(500, 20_000))
}

function someConnection(world: World): { broker: Broker; owner: string } {
  const { chance } = world
  if (chance.happens(0.25)) return { broker: chance.pick(brokers(world)), owner: nodeOwner }
  if (chance.happens(0.4)) {
    return { broker: chance.pick(world.clouds).broker, owner: chance.pick(world.fogs).deviceId }
  }
  const meter = chance.pick(world.meters)
  return { broker: meter.target.broker, owner: meter.deviceId }
}

function partition(world: World, meanMs: number): void {
  const { broker, owner } = someConnection(world)
  broker.partition(owner, world.chance.int(meanMs / 4, 2 * meanMs))
}

function troubleDisk(world: World, untilMs: number): void {
  const { chance, engine } = world
  const { disk, name } = chance.pick(supervisors(world))
  disk.state = chance.pick(['full', 'failing'] as const)
  engine.note('disk', name, disk.state)
  const end = Math.min(chance.int(20_000, 300_000), Math.max(0, untilMs - engine.nowMs))
  engine.after(end, () => {
    disk.state = 'well'
    engine.note('disk', name, 'well')
  })
}

function stepClock(world: World): void {
  const { chance, engine } = world
  const { clock, name } = chance.pick(supervisors(world))
  if (clock.fault === 'none') return
  clock.step(5 * hourMs)
  engine.note('clock-step', name)
}

function move(world: World): void {
  const { chance, engine } = world
  const meter = chance.pick(world.meters)
  const fog = chance.pick(world.fogs.filter(({ deviceId }) => deviceId !== meter.target.node))
  engine.note('move', meter.deviceId, fog.deviceId)
  meter.move({ node: fog.deviceId, broker: fog.broker })
}

/** Somebody restores a copy of some hours ago; all services on that database start again. */
function restoreCloud({ chance, engine, clouds, lost }: World, untilMs: number): void {
  const { disk } = chance.pick(clouds)
  // A fog node that has gone to a cloud of its own kind elsewhere need not come back to notice.
  if (clouds.some((cloud) => cloud.disk !== disk)) return
  const copy = disk.backup()
  const waitMs = Math.min(chance.between(0.2, 6) * hourMs, untilMs - engine.nowMs)
  engine.after(waitMs, () => {
    const services = clouds.filter((cloud) => cloud.disk === disk)
    for (const { supervisor } of services) supervisor.kill('kill', chance.int(1_000, hourMs))
    const before = createDisk(chance)
    before.restore(disk.backup())
    lost.push({ disk: before })
    disk.restore(copy)
    engine.note('restore', services.map(({ deviceId }) => deviceId).join(' '))
  })
}

/** What is kept as bytes with a checksum or a signature over it. */
const rottable = {
  meter: ['open', 'head', 'block'],
  fog: ['group', 'meter', 'window', 'outbox'],
} as const

/** An outbox is empty most of the time: it is looked at this often until something waits in it. */
const outboxLooksMs = 30_000

/** One bit flips on a disk; the machine notices nothing until it reads that place again. */
function rot(world: World, untilMs: number): void {
  const { chance } = world
  const where = chance.pick(['meter', 'meter', 'fog', 'outbox'] as const)
  if (where === 'meter') flip(world, chance.pick(world.meters).supervisor, rottable.meter)
  else if (where === 'fog') flip(world, chance.pick(world.fogs).supervisor, rottable.fog)
  else rotOutbox(world, chance.pick(world.fogs), untilMs)
}

/** Of all that a fog node has on its disk it is what it can go on without. */
function rotOutbox(world: World, fog: FogNode, untilMs: number): void {
  const { engine, truth } = world
  const { acknowledged } = truth.fog(fog.deviceId)
  if (engine.nowMs >= untilMs || flip(world, fog.supervisor, ['outbox'], acknowledged)) return
  engine.after(outboxLooksMs, () => rotOutbox(world, fog, untilMs))
}

/** False when there is nothing in these tables above this number. */
function flip(
  world: World,
  supervisor: Supervisor,
  tables: readonly string[],
  above?: number,
): boolean {
  const { chance, engine } = world
  const hit = supervisor.disk.rot(chance, tables, above)
  if (hit === null) return false
  const what = `${supervisor.name} ${hit.table} ${hit.key}`
  engine.note('rot', what)
  world.rotten.push(what)
  if (hit.table === 'block.body') noteRotten(world, supervisor, Number(hit.key))
  // A restart makes sure that it is read.
  if (chance.happens(0.8)) supervisor.kill('kill', 5_000)
  return true
}

/** Its signature fits no more: it will be refused, or listed as missing, but never taken for true. */
function noteRotten({ meters, truth }: World, supervisor: Supervisor, last: number): void {
  const meter = meters.find((candidate) => candidate.supervisor === supervisor)
  const block = truth.meter(meter?.deviceId ?? '').blocks.find((one) => one.last === last)
  if (block !== undefined && block.heldBy.size === 0) block.excused = rottenBlock
}
