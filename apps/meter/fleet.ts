import { equal } from '#bytes'
import type { MeterConfig } from '#config'
import {
  checkRevocations,
  CLOCK_SLACK_S,
  createTrust,
  isRevoked,
  judgingTime,
  type Credential,
  type RevocationList,
} from '#credential'
import { nativeCrypto } from '#crypto-native'
import { defaults } from '#defaults'
import { codeOf, CodedError } from '#errors'
import { loadIdentity, type DeviceIdentity } from '#identity'
import { createMeter, meterDefaults, type MeterEvent, type MeterSettings } from '#meter'
import { openMeterStore, type MeterStoreFile } from '#meter-store'
import { runInitiator, type InitiatorLink } from '#mqtt-link'
import { systemClock, systemRandom, type Logger } from '#service'
import { lockDatabase } from '#sqlite'
import { brokerAccess } from './broker-access.ts'
import { openTimeSense, type TimeSense } from './clock.ts'
import type { MeterPlan } from './config.ts'
import { createFinder, isFound } from './finding.ts'
import { createGroup, type Group } from './group.ts'
import { isWorthSaying } from './quiet.ts'
import { createUnit, type Unit } from './unit.ts'

/** A thousand meters do not all shake hands in the same second. */
const CONNECT_EVERY_MS = 5
const REVOCATIONS = 'revocations'

/** Every meter of a process, loaded and ready to connect. */
export interface Fleet {
  groups: Group[]
  units: Unit[]
  time: TimeSense
  /** Connects all, spread out; ends early when `signal` aborts. */
  connect(signal: AbortSignal, onProgress: () => void): void
  close(): Promise<void>
}

/** Loads identities and stores. Throws `identity/…`, `sqlite/…`, `meter/…`. */
export function openFleet({ config, instances }: MeterPlan, log: Logger): Fleet {
  const identities = instances.map((instance) => loadMeterIdentity(instance.identity))
  const authorityKey = oneAuthority(identities)
  const files = new Map<string, MeterStoreFile>()
  const members = new Map<MeterStoreFile, Unit[]>()
  const owners = new Map<Unit, DeviceIdentity>()
  /** Whom each unit is or was last connected to. */
  const peers = new Map<Unit, Credential>()
  const time = openTimeSense({ clock: systemClock, ...config.clock })
  for (const [index, identity] of identities.entries()) {
    const path = instances[index]?.store.path ?? ''
    const file = files.get(path) ?? openAlone(path, log)
    files.set(path, file)
    const unit = createUnit(
      createMeter({
        crypto: nativeCrypto,
        key: nativeCrypto.signingKey(identity.signingSecret),
        deviceId: identity.deviceId,
        clock: systemClock,
        store: file.meter(identity.deviceId),
        settings: settingsOf(config),
        boot: time.boot,
        onEvent: (event) => onEvent(unit, event),
      }),
    )
    owners.set(unit, identity)
    members.set(file, [...(members.get(file) ?? []), unit])
  }
  const groups = [...members].map(([file, units]) => createGroup(file, units, log))
  const revocations = followRevocations([...files.values()], authorityKey, log)
  const trust = createTrust({
    crypto: nativeCrypto,
    authorityKey,
    now: judgingTime(systemClock, identities[0]!.credential),
    slackS: CLOCK_SLACK_S,
    revocations: revocations.current,
  })

  function onEvent(unit: Unit, event: MeterEvent): void {
    if (event.type === 'revocations') {
      const list = revocations.offer(event.list)
      if (list !== null) leaveRevoked(list)
    } else if (event.type === 'superseded') {
      unit.link?.superseded()
    } else if (event.type === 'delivery' && event.event.type !== 'refused') {
      log.debug({ meter: unit.meter.deviceId, ...event.event }, 'delivery')
    } else if (event.type !== 'readings-given-up' || isWorthSaying(event.times)) {
      log.warn({ meter: unit.meter.deviceId, ...describe(event) }, sentences[event.type])
    }
  }

  /** A fog node may bring the news of its own revocation, or another one that of its neighbour. */
  function leaveRevoked(list: RevocationList): void {
    for (const [unit, peer] of peers) {
      if (isRevoked(list, peer)) unit.link?.reconnect('credential/revoked')
    }
  }

  const { broker, node } = config
  const destination = isFound(broker.url)
    ? { finder: createFinder({ url: broker.url, node }) }
    : { ...brokerAccess(broker), node }

  function link(unit: Unit, identity: DeviceIdentity, onProgress: () => void): InitiatorLink {
    const { credential, signingSecret } = identity
    return runInitiator({
      ...destination,
      keepaliveSeconds: config.broker.keepaliveSeconds,
      crypto: nativeCrypto,
      random: systemRandom,
      clock: systemClock,
      trust,
      log,
      own: { credential, key: nativeCrypto.signingKey(signingSecret) },
      peerRole: 'fog',
      group: credential.group,
      onOpen: (peer, rekey) => {
        peers.set(unit, peer)
        if (!rekey) unit.onOpen()
      },
      onMessage: (payload) => {
        unit.send(unit.meter.onMessage(payload))
        onProgress()
      },
      onDrain: unit.onDrain,
      onClosed: unit.onClosed,
    })
  }

  return {
    groups,
    units: [...owners.keys()],
    time,
    connect(signal, onProgress) {
      const waiting = [...owners]
      const next = (): void => {
        const [unit, identity] = waiting.shift() ?? []
        if (unit === undefined || identity === undefined || signal.aborted) return
        unit.link = link(unit, identity, onProgress)
        setTimeout(next, CONNECT_EVERY_MS)
      }
      next()
    },
    async close() {
      await Promise.all([...owners.keys()].map(async (unit) => unit.link?.close()))
      for (const file of files.values()) file.close()
    },
  }
}

/** Two processes on one store would give two readings the same number, and lose both. */
function openAlone(path: string, log: Logger): MeterStoreFile {
  const unlock = lockDatabase(path)
  const file = openMeterStore(path)
  if (file.restored !== null) {
    const taken = new Date(file.restored.takenS * 1000).toISOString()
    const readingsGivenUp = file.settleRestored(systemRandom)
    log.warn(
      { event: 'restored', taken, readingsGivenUp },
      'the store was restored from a backup: numbering goes on far above it, and registers that ' +
        'are integrated from power go on from what they were then',
    )
  }
  return {
    ...file,
    close() {
      file.close()
      unlock()
    },
  }
}

function loadMeterIdentity(paths: Parameters<typeof loadIdentity>[0]): DeviceIdentity {
  const identity = loadIdentity(paths)
  if (identity.credential.role === 'meter') return identity
  throw new CodedError(
    'meter/wrong-role',
    `${paths.credential} is the credential of a ${identity.credential.role}: enrol this device with ` +
      '"fogmeter enrol meter NAME" and use those files',
  )
}

function oneAuthority(identities: readonly DeviceIdentity[]): Uint8Array {
  const [first, ...rest] = identities.map((identity) => identity.authorityKey)
  if (first !== undefined && rest.every((key) => equal(key, first))) return first
  throw new CodedError(
    'meter/several-authorities',
    'the meters of one process must have credentials of one authority; run the others separately',
  )
}

function settingsOf(config: MeterConfig): MeterSettings {
  const { readings, seconds, boundarySeconds, maxGapSeconds, rolloverWh, maxPowerW } = config.block
  return {
    ...meterDefaults,
    mode: config.report.mode,
    maxReadings: readings,
    maxSeconds: seconds,
    boundarySeconds,
    maxBlocks: config.store.maxBlocks,
    maxStatements: config.store.maxStatements,
    maxGapSeconds,
    rolloverWh: rolloverWh === 0 ? null : rolloverWh,
    maxPowerW,
    ...defaults.delivery,
  }
}

/** The newest signed list any fog node passed on, remembered across restarts. */
function followRevocations(
  files: readonly MeterStoreFile[],
  authorityKey: Uint8Array,
  log: Logger,
) {
  const check = (bytes: Uint8Array) => checkRevocations(nativeCrypto, authorityKey, bytes)
  let current = remembered()

  /** A list of an earlier authority means nothing to this one, and must not keep the meter from starting. */
  function remembered(): RevocationList | null {
    const stored = files[0]?.note(REVOCATIONS) ?? null
    try {
      return stored === null ? null : check(stored)
    } catch (error) {
      log.warn({ code: codeOf(error) }, 'the stored revocation list is of no use any more')
      return null
    }
  }

  return {
    current: () => current,
    /** The list when it was newer and is now in force, else null. */
    offer(bytes: Uint8Array): RevocationList | null {
      try {
        const list = check(bytes)
        if (current !== null && list.number <= current.number) return null
        files[0]?.setNote(REVOCATIONS, bytes)
        current = list
        log.info({ number: list.number, revoked: list.ids.length }, 'new revocation list')
        return list
      } catch (error) {
        log.warn({ code: codeOf(error) }, 'a revocation list was not taken')
        return null
      }
    },
  }
}

type KnownEvent = Exclude<MeterEvent, { type: 'revocations' | 'superseded' }>

const sentences: Readonly<Record<KnownEvent['type'], string>> = {
  delivery:
    'the fog node will never accept these readings; a conflict means that another program or an ' +
    'old copy of the store has used their numbers',
  register: 'the register did not simply go on',
  'clock-step': 'the clock was set; energy is counted by the time that really passed',
  'numbers-raised':
    'the fog node knows higher numbers than this store, which is new or an old copy; numbering goes on above them',
  'readings-given-up':
    'too many signed blocks wait for the fog node: the oldest readings go, their registers stay; check the fog node',
  'bad-message': 'a message of the fog node could not be used',
}

function describe(event: KnownEvent): object {
  return event.type === 'delivery' ? event.event : event
}
