import { checkEnd, type Account } from './check.ts'
import { doubledRuns } from './cloud-view.ts'
import { startWallMs } from './clock.ts'
import { scheduleFaults } from './faults.ts'
import type { Mutation } from './mutation.ts'
import { clear, planOf, type Plan } from './plan.ts'
import { createWorld, type World } from './world.ts'

export interface RunResult {
  seed: number
  plan: Plan
  violations: string[]
  /** Of everything that happened; equal for equal seeds. */
  digest: string
  events: number
  meterDays: number
  /** Simulated hours until everything had drained after healing. */
  drainHours: number
  account: Account
  rotten: string[]
  /** Databases of clouds that were set back. */
  restored: number
}

export interface RunOptions {
  mutation?: Mutation
  print?: (line: string) => void
}

const hourMs = 3_600_000
/** After healing: the longest back-off, patience of every sender, and windows closing by themselves. */
const drainHours = 12

/** One whole life of a small deployment, drawn from the seed. */
export async function runSeed(seed: number, options: RunOptions = {}): Promise<RunResult> {
  const plan = planOf(seed)
  const world = createWorld(plan, options)
  world.engine.note('seed', seed, startWallMs / 1000)
  const endMs = plan.hours * hourMs
  for (const { supervisor } of [...world.clouds, ...world.fogs, ...world.meters]) supervisor.start()
  scheduleFaults(world, endMs)
  for (let atMs = hourMs; atMs <= endMs && !failed(world); atMs += hourMs) {
    await world.engine.runUntil(atMs)
  }
  const drainedHours = failed(world) ? 0 : await healAndDrain(world, endMs)
  // Without a full drain the account would name consequences instead of the cause.
  const account = failed(world) ? noAccount : checkEnd(world)
  return {
    seed,
    plan,
    violations: world.truth.violations,
    digest: world.engine.digest(),
    events: world.engine.events,
    meterDays: (plan.meters * world.engine.nowMs) / (24 * hourMs),
    drainHours: drainedHours,
    account,
    rotten: world.rotten,
    restored: world.lost.length,
  }
}

const noAccount: Account = {
  readings: 0,
  blocks: 0,
  windows: 0,
  heldTwice: 0,
  refusedMeasurements: 0,
  excused: 0,
  itemsGivenUp: 0,
  givenUp: 0,
}

const failed = ({ truth }: World) => truth.violations.length > 0

async function healAndDrain(world: World, fromMs: number): Promise<number> {
  const { engine, meters, fogs, clouds, truth } = world
  engine.note('heal')
  for (const { broker } of [...fogs, ...clouds]) broker.heal(clear)
  for (const { supervisor } of [...meters, ...fogs, ...clouds]) {
    supervisor.disk.state = 'well'
    supervisor.disk.cut = null
  }
  for (const meter of meters) meter.finish()
  for (let minutes = 10; minutes <= drainHours * 60; minutes += 10) {
    await engine.runUntil(fromMs + minutes * 60_000)
    if (failed(world)) return 0
    const waiting = waitingFor(world)
    if (waiting.length === 0) return settle(world, minutes / 60)
    if (minutes === drainHours * 60) {
      truth.violation(`not drained ${drainHours} h after healing: ${waiting.join(', ')}`)
    }
  }
  return drainHours
}

/** What waits for quiet (a register of a clock that is ahead) has no queue that could be asked. */
async function settle(world: World, hours: number): Promise<number> {
  const { engine, plan } = world
  await engine.runUntil(engine.nowMs + (2 * plan.windowSeconds + 900) * 1000)
  return hours
}

function waitingFor({ meters, fogs, clouds }: World): string[] {
  return [
    ...doubledRuns(clouds).map((run) => `${run.fog} counting ${run.deviceId} ${run.first} twice`),
    ...meters.filter((meter) => !meter.drained()).map(({ deviceId }) => deviceId),
    ...fogs.filter((fog) => !fog.drained()).map(({ deviceId }) => deviceId),
  ]
}
