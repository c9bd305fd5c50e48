import { fromUtf8, utf8 } from '#bytes'
import type { MeterConfig } from '#config'
import {
  createMetrics,
  startMetrics,
  systemClock,
  type RunningService,
  type ServiceContext,
} from '#service'
import type { FollowMemory } from '#telegram'
import type { MeterPlan } from './config.ts'
import type { TimeSense } from './clock.ts'
import { openFleet, type Fleet } from './fleet.ts'
import type { Group } from './group.ts'
import type { PortLog } from './port-report.ts'
import { recorderFor } from './recording.ts'
import { openSource } from './source.ts'
import { addMeterMetrics, meterViews } from './status.ts'
import { openTimeline, type Timeline } from './timeline.ts'
import type { Unit } from './unit.ts'

/** When a run ends by itself; a run without any of these goes on until its source ends or SIGTERM. */
export interface MeterRunOptions {
  /** Stop measuring after this long. */
  stopAfterSeconds?: number
  /** Stop measuring after this many readings of each meter. */
  maxReadings?: number
  /** Appends what a port says to this file, byte for byte. */
  logTelegrams?: string
  /** Stay (with /status) when the source has ended and everything is delivered. */
  stay?: boolean
}

type Context = Pick<ServiceContext, 'log' | 'notify' | 'signal' | 'fail'>

const TICK_MS = 1_000
/** How long a stop waits for receipts: while the fog node answers, and while it does not. */
const DRAIN_MS = { answering: 15_000, silent: 1_000 }
const TIMELINE = 'timeline'
const PORT_METER = 'port-meter'

/** Longer than a drain, so that it is not cut short; for `runService`. */
export const meterStopTimeoutMs = 20_000

/**
 * Runs the meters of a configuration until stopped. When every source has ended and the fog node
 * has everything, the process stops itself, in order, with exit code 0 (unless `stay`).
 * Throws `identity/…`, `sqlite/…`, `meter/…` for what a configuration can get wrong.
 */
export async function runMeter(
  context: Context,
  plan: MeterPlan,
  options: MeterRunOptions = {},
): Promise<RunningService> {
  const { log } = context
  // First of all: it may be asked for where there is nothing to record
  const record = recorderFor(plan.config.source, options.logTelegrams)
  const fleet = openFleet(plan, log)
  const measuring = new AbortController()
  const drained = watchDrained(fleet)
  const metrics = createMetrics('meter')
  addMeterMetrics(metrics, fleet)
  const server = await startMetrics({
    listen: plan.config.metrics.listen,
    registry: metrics.registry,
    health: () => healthOf(fleet),
    status: () => ({ program: 'meter', node: plan.config.node, meters: meterViews(fleet) }),
  })
  const timer = setInterval(() => {
    for (const group of fleet.groups) group.tick()
    if (healthOf(fleet) === null) context.notify.watchdog()
    drained.check()
  }, TICK_MS)
  const stopAfter = stopAfterTimer(options, measuring)
  fleet.connect(measuring.signal, drained.check)
  const feeds = feedAll(plan.config, fleet, { ...options, record }, measuring.signal, log)
  endWhenDone(feeds, fleet, drained, context, options)
  log.info({ event: 'started', meters: fleet.units.length, node: plan.config.node }, 'measuring')

  return {
    status: `${fleet.units.length} meters measuring`,
    async stop() {
      measuring.abort()
      clearTimeout(stopAfter)
      await feeds.catch(() => undefined)
      closeAll(fleet)
      const answering = fleet.units.some(({ meter }) => meter.status().welcomed)
      await drained.within(answering ? DRAIN_MS.answering : DRAIN_MS.silent)
      clearInterval(timer)
      const blocks = fleet.units.reduce((sum, { meter }) => sum + meter.status().outboxBlocks, 0)
      if (blocks > 0) log.info({ blocks }, 'signed blocks stay in the store for the next start')
      await server.close()
      await fleet.close()
    },
  }
}

type FeedOptions = MeterRunOptions & { record: ReturnType<typeof recorderFor> }

/** One loop a meter; resolves when every source has ended. */
async function feedAll(
  config: MeterConfig,
  fleet: Fleet,
  options: FeedOptions,
  signal: AbortSignal,
  log: PortLog,
): Promise<void> {
  const timeline = timelineOf(config, fleet.groups[0])
  const groupOf = new Map(fleet.groups.flatMap((group) => group.units.map((unit) => [unit, group])))
  const feeds = fleet.units.map((unit, index) =>
    feed(unit, groupOf.get(unit)!, {
      config,
      index,
      timeline,
      signal,
      time: fleet.time,
      log,
      ...options,
    }),
  )
  await Promise.all(feeds)
}

async function feed(
  unit: Unit,
  group: Group,
  options: FeedOptions & {
    config: MeterConfig
    index: number
    timeline: Timeline | null
    signal: AbortSignal
    time: TimeSense
    log: PortLog
  },
): Promise<void> {
  const { config, index, timeline, signal, time, maxReadings = Infinity } = options
  const source = openSource({
    config: config.source,
    newestTimeS: unit.meter.status().newestTimeS,
    onBadLine: group.badLine,
    index,
    timeline,
    signal,
    clock: systemClock,
    time,
    input: process.stdin,
    log: options.log,
    port: {
      record: options.record,
      ...memoryOf(group),
    },
  })
  let taken = 0
  for await (const measurement of source) {
    group.submit(unit, measurement)
    taken += 1
    if (taken >= maxReadings) break
  }
  unit.finished = true
}

/** What a port's meter is known by is stored behind the readings that came from it. */
function memoryOf(group: Group) {
  const note = group.store.note(PORT_METER)
  return {
    remembered: note === null ? null : (JSON.parse(fromUtf8(note)) as FollowMemory),
    remember(memory: FollowMemory) {
      group.flush()
      // Readings that could not be stored: the change is noticed once more after a restart.
      if (group.failure() === null) group.store.setNote(PORT_METER, utf8(JSON.stringify(memory)))
    },
  }
}

function timelineOf({ source }: MeterConfig, group: Group | undefined): Timeline | null {
  if (group === undefined || !('start' in source)) return null
  const { start, intervalSeconds, timeScale } = source
  return openTimeline({
    clock: systemClock,
    startS: start,
    intervalSeconds,
    timeScale,
    remembered: group.store.note(TIMELINE),
    remember: (note) => group.store.setNote(TIMELINE, note),
  })
}

/** After the last measurement: signs, waits for receipts without bound, and ends the process. */
function endWhenDone(
  feeds: Promise<void>,
  fleet: Fleet,
  drained: Drained,
  { log, fail, signal }: Context,
  { stay = false }: MeterRunOptions,
): void {
  feeds
    .then(async () => {
      if (signal.aborted) return
      log.info({ event: 'source-ended' }, 'nothing more to measure; delivering the rest')
      closeAll(fleet)
      await drained.within(Infinity)
      log.info({ event: 'drained' }, 'everything is delivered')
      // The ordered stop that an operator would ask for; not a second one, which would be abrupt.
      if (!stay && !signal.aborted) process.kill(process.pid, 'SIGTERM')
    })
    .catch(fail)
}

function closeAll(fleet: Fleet): void {
  for (const group of fleet.groups) {
    group.flush()
    group.closeBlocks()
  }
}

function healthOf(fleet: Fleet): string | null {
  for (const group of fleet.groups) {
    const failure = group.failure()
    if (failure !== null) return failure.message
  }
  return null
}

function stopAfterTimer(
  { stopAfterSeconds }: MeterRunOptions,
  measuring: AbortController,
): NodeJS.Timeout | undefined {
  if (stopAfterSeconds === undefined) return undefined
  return setTimeout(() => measuring.abort(), stopAfterSeconds * 1_000)
}

interface Drained {
  /** Call when something may have changed. */
  check: () => void
  /** Resolves when every meter is drained, or after `ms`. */
  within(ms: number): Promise<void>
}

function watchDrained(fleet: Fleet): Drained {
  const waiting = new Set<() => void>()
  const isDrained = () => fleet.groups.every((group) => group.drained())
  return {
    check() {
      if (waiting.size === 0 || !isDrained()) return
      for (const resolve of waiting) resolve()
      waiting.clear()
    },
    within(ms) {
      if (isDrained()) return Promise.resolve()
      return new Promise((resolve) => {
        waiting.add(resolve)
        if (Number.isFinite(ms)) setTimeout(resolve, ms)
      })
    },
  }
}
