import { createResponder, type Identity, type Responder } from '#channel'
import type { AgentConfig } from '#config'
import type { Trust } from '#credential'
import { nativeCrypto } from '#crypto-native'
import { codeOf, wordsOf } from '#errors'
import { createFog, fogDefaults, inlineVerifier, type Fog, type FogSettings } from '#fog'
import { openFogStore, type SqliteFogStore } from '#fog-store'
import { encodeItem } from '#messages'
import { runResponder, type ResponderLink } from '#mqtt-link'
import { systemClock, systemRandom, version, type Logger, type Notify } from '#service'
import { lockDatabase } from '#sqlite'
import { openTimeSense } from '../meter/clock.ts'
import { createLifeSign } from './life-sign.ts'
import { createMachine } from './machine.ts'
import { startVerifyPool, type VerifyPool } from './verify-pool.ts'

export interface NodeOptions {
  config: AgentConfig
  own: Identity
  trust: Trust
  log: Logger
  notify: Notify
}

/** The meters' side of the agent: broker, channels, core and store. */
export interface RunningNode {
  fog: Fog
  store: SqliteFogStore
  responder: Responder
  /** Judges all sessions again. */
  recheck(): void
  pool: VerifyPool | null
  /** Null when all is well, else one sentence. */
  health(): string | null
  close(): Promise<void>
}

const pruneMs = 3_600_000
const shrinkMs = 600_000
/** Signature checks still under way when stopping get this long. */
const finishMs = 2_000

/** Opens the store, which is this process's alone, then serves meters. Throws `sqlite/…`, `fog/store-damaged`, `mqtt-link/…`. */
export function startNode(options: NodeOptions): RunningNode {
  const { config, own, trust, log } = options
  // Two agents on one store would give two items the same outbox number, and lose both.
  const unlock = lockDatabase(config.store.path)
  const { path, maxOutboxItems } = config.store
  const store = openFogStore(path, systemClock, maxOutboxItems, own.credential.deviceId)
  reportRestored(store, log)
  const pool = startPool(config, log)
  const responder = createResponder({
    crypto: nativeCrypto,
    random: systemRandom,
    clock: systemClock,
    own,
    trust,
    peerRole: 'meter',
    group: own.credential.group,
  })
  let link: ResponderLink | null = null
  const time = openTimeSense({ clock: systemClock, askTimesyncd: true })
  const fog = createFog({
    crypto: nativeCrypto,
    clock: systemClock,
    store,
    verifier: pool ?? inlineVerifier(nativeCrypto),
    link: {
      send: (channelId, payload) => void link?.send(channelId, payload),
      drop: (channelId, code) => link?.drop(channelId, code),
    },
    settings: settingsOf(config),
    version,
    machine: createMachine({ storePath: path, clockSet: () => time.known() }),
    onUnexpected: (err, meter) =>
      log.error({ err, meter, code: 'fog/unexpected' }, 'a defect cost one meter its session'),
    onDamagedItem: ({ number, what, lost }) =>
      log.error(
        { item: number, what, lost, code: 'fog/item-damaged' },
        'an item for the cloud was damaged on disk; is the memory card failing?',
      ),
  })
  link = runResponder({
    url: config.broker.url,
    node: own.credential.deviceId,
    responder,
    clock: systemClock,
    log,
    onOpen: (channelId, peer) => fog.open(channelId, peer),
    onMessage: (channelId, _peer, payload) => fog.receive(channelId, payload),
    onClosed: (channelId) => fog.closed(channelId),
  })
  const upkeep = startUpkeep(options, fog, store)
  return {
    fog,
    store,
    responder,
    recheck: () => link.recheck(),
    pool,
    health: () => upkeep.problem() ?? (link.up ? null : 'no connection to the broker'),
    close: async () => {
      await verified(fog)
      fog.flush()
      await link.close()
      upkeep.stop()
      fog.close()
      await pool?.close()
      store.close()
      unlock()
    },
  }
}

/** A restored store says so once, on the log and, as an event, in the cloud. */
function reportRestored(store: SqliteFogStore, log: Logger): void {
  if (store.restored === null) return
  const taken = new Date(store.restored.takenS * 1000).toISOString()
  const detail =
    `the store was restored from a backup of ${taken}: readings receipted after it are not here ` +
    'and are listed as gaps when their meters come back; registers stay exact'
  const timeS = Math.max(0, Math.floor(systemClock.now() / 1000))
  const event = { code: 'restored', timeS, deviceId: null, detail }
  store.settleRestored([encodeItem({ type: 'event', event })])
  log.warn({ event: 'restored', taken }, detail)
}

function startPool(config: AgentConfig, log: Logger): VerifyPool | null {
  const { workers } = config.verify
  if (workers === 0) return null
  return startVerifyPool(workers, (err) => log.error({ err }, 'a verifying thread failed'))
}

/**
 * `commit.interval_ms` is how often the core looks; a small group waits four times as long to fill
 * a page, because on a memory card a half-empty commit costs as much as a full one.
 */
export function settingsOf({ commit, window, time }: AgentConfig): FogSettings {
  return {
    ...fogDefaults,
    commit: {
      ...fogDefaults.commit,
      maxBlocks: commit.maxBlocks,
      maxWaitMs: 4 * commit.intervalMs,
    },
    window: {
      ...fogDefaults.window,
      ...window,
      activeSeconds: Math.max(2 * window.seconds, 900),
    },
    time: {
      ...fogDefaults.time,
      maxWaitMs: 1_000 * time.waitSeconds,
      silenceIntervals: time.silenceIntervals,
    },
  }
}

/** Timers around the core: commits, sign of life, pruning, cutting the WAL. */
function startUpkeep({ config, log, notify }: NodeOptions, fog: Fog, store: SqliteFogStore) {
  let problem: string | null = null
  const guarded = (what: string, work: () => void) => () => {
    try {
      work()
      problem = null
    } catch (error) {
      // Said once, not twenty times a second; what could not be stored is tried again.
      if (problem === null) log.error({ code: codeOf(error), err: error }, `${what} failed`)
      problem = `${what} failed: ${wordsOf(error)}`
    }
  }
  let saidGivenUp = 0
  /** At the 1st, then whenever it has doubled: it goes on for as long as the cloud is away. */
  const sayGivenUp = () => {
    const { givenUp } = store.backlog()
    const items = Object.values(givenUp).reduce((sum, count) => sum + count, 0)
    if (items < Math.max(1, 2 * saidGivenUp)) return
    saidGivenUp = items
    log.warn(
      { ...givenUp },
      'the outbox to the cloud is full: the oldest items go, registers stay; is the cloud up?',
    )
  }
  const lifeSign = createLifeSign({
    clock: systemClock,
    notify,
    commits: () => fog.counters().commits,
    waiting: () => fog.inFlight(),
    probe: () => store.probe(),
  })
  const tick = () => {
    fog.tick()
    if (lifeSign()) sayGivenUp()
  }
  const retentionS = config.store.retentionDays * 86_400
  const prune = () => void fog.prune(Math.floor(systemClock.now() / 1000) - retentionS)
  const timers = [
    setInterval(guarded('a commit', tick), config.commit.intervalMs),
    setInterval(guarded('pruning', prune), pruneMs),
    setInterval(
      guarded('a checkpoint', () => store.shrink()),
      shrinkMs,
    ),
  ]
  return {
    problem: () => problem,
    stop: () => timers.forEach((timer) => clearInterval(timer)),
  }
}

/** Waits until everything received has been judged, or the time is over. */
async function verified(fog: Fog): Promise<void> {
  const end = systemClock.monotonic() + finishMs
  while (fog.judging() > 0 && systemClock.monotonic() < end) {
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
