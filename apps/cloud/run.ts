import { readFileSync } from 'node:fs'
import { nativeCrypto } from '#crypto-native'
import { openCloudStore } from '#cloud-store'
import type { CloudConfig } from '#config'
import { defaults } from '#defaults'
import { CodedError } from '#errors'
import { loadIdentity, rememberRevocations, watchRevocations } from '#identity'
import type { DeviceIdentity, RevocationWatch } from '#identity'
import { createMetrics, startMetrics, systemClock, systemRandom, version } from '#service'
import type { RunningService, ServiceContext } from '#service'
import { lockDatabase, readMark, startCheckpoints, writeMark, type Database } from '#sqlite'
import { startDrain } from './drain.ts'
import type { Drain } from './drain.ts'
import { openEnrolment } from './enrolment.ts'
import { startHttp } from './http/server.ts'
import { addMetrics } from './metrics.ts'

const CHECKPOINT_MS = 60_000

type Context = Pick<ServiceContext, 'log' | 'notify'>

/** Remembers how to end what was begun; the last begun ends first. */
type OnStop = (step: () => unknown) => void

/**
 * The cloud service: takes what fog nodes deliver through the broker, stores it, and answers
 * questions over HTTP. Throws coded errors for everything a configuration can get wrong.
 */
export async function runCloud(
  context: Context,
  config: CloudConfig,
): Promise<RunningService & { url: string }> {
  const steps: (() => unknown)[] = []
  const stop = async (): Promise<void> => {
    for (const step of steps.splice(0).toReversed()) await step()
  }
  try {
    const url = await start(context, config, (step) => void steps.push(step))
    return { url, stop, status: `answering on ${url}` }
  } catch (error) {
    await stop()
    throw error
  }
}

async function start(context: Context, config: CloudConfig, onStop: OnStop): Promise<string> {
  const { log } = context
  const identity = loadIdentity(config.identity)
  // A second service on this file would receipt what the first has not stored.
  onStop(lockDatabase(config.store.path))
  const { store, enrolments, queries, database } = openCloudStore(
    config.store.path,
    identity.deviceId,
  )
  onStop(() => database.close())
  reportRestored(log, database)
  onStop(startCheckpoints(database, CHECKPOINT_MS, (err) => log.warn({ err }, 'no checkpoint')))

  const drain: Drain = startDrain({
    identity,
    store,
    log,
    clock: systemClock,
    random: systemRandom,
    broker: brokerOf(config),
    revocations: followRevocations(context, config, identity, onStop, (list) =>
      drain.setRevocations(list),
    ),
  })
  onStop(() => drain.close())
  onStop(feedWatchdog(context, drain, database))

  const counted = createMetrics('cloud')
  const { registry } = counted
  addMetrics(counted, drain, queries, systemClock)
  const metrics = await startMetrics({
    listen: config.metrics.listen,
    registry,
    health: () => drain.health()?.words ?? null,
  })
  onStop(() => metrics.close())
  const http = await startHttp({
    queries,
    version,
    log,
    clock: systemClock,
    health: () => drain.health()?.detail ?? null,
    changes: drain.changes,
    listen: config.http.listen,
    tokenFile: config.http.tokenFile,
    requestsPerMinute: config.http.requestsPerMinute,
    connections: defaults.http.connections,
    requestTimeoutMs: defaults.http.requestTimeoutMs,
    enrolment: openEnrolment({ config, identity, store: enrolments, log, clock: systemClock }),
    metrics: registry,
  })
  onStop(() => http.close())
  log.info({ event: 'listening', url: http.url, node: identity.deviceId }, 'cloud is ready')
  return http.url
}

/** The watchdog lives on commits; while nobody delivers anything, on one that changes nothing. */
function feedWatchdog({ log, notify }: Context, drain: Drain, database: Database): () => void {
  let stored = false
  drain.changes.on('stored', () => {
    stored = true
    notify.watchdog()
  })
  const timer = setInterval(() => {
    try {
      if (!stored) database.probe()
      stored = false
      notify.watchdog()
    } catch (err) {
      log.error({ err }, 'the store takes no writes')
    }
  }, notify.probeMs)
  return () => clearInterval(timer)
}

/** A restored store says so once; each fog node's event follows when it finds out what is missing. */
function reportRestored(log: Context['log'], database: Database): void {
  const mark = readMark(database)
  if (mark === null) return
  writeMark(database, null)
  log.warn(
    { event: 'restored', taken: new Date(mark.takenS * 1000).toISOString() },
    'the store was restored from a backup: fog nodes send again the windows and newest registers ' +
      'they still have; what else came after the backup is missing, see the gap events',
  )
}

/** The list in force now; `onChange` hears of later ones. Null when none is configured. */
function followRevocations(
  { log }: Context,
  { identity: { revocations }, store }: CloudConfig,
  { authorityKey }: DeviceIdentity,
  onStop: OnStop,
  onChange: Parameters<typeof watchRevocations>[1]['onChange'] & object,
): ReturnType<RevocationWatch['current']> | null {
  if (revocations === undefined) return null
  const watch = watchRevocations(revocations, {
    crypto: nativeCrypto,
    authorityKey,
    memory: rememberRevocations(`${store.path}.revoked`),
    onChange: (list) => {
      log.info({ number: list.number, revoked: list.ids.length }, 'new revocation list')
      onChange(list)
    },
    onError: (err) => log.error({ err }, 'the revocation list could not be read'),
  })
  onStop(() => watch.close())
  return watch.current()
}

function brokerOf({ broker }: CloudConfig): Parameters<typeof startDrain>[0]['broker'] {
  const { url, ca, username, passwordFile } = broker
  return {
    url,
    ...(ca === undefined ? {} : { ca }),
    ...(username === undefined ? {} : { username }),
    ...(passwordFile === undefined ? {} : { password: readPassword(passwordFile) }),
  }
}

function readPassword(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    const message = `broker.password_file: ${error instanceof Error ? error.message : path}`
    throw new CodedError('cloud/no-password', message, { cause: error })
  }
}
