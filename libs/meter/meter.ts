import type { Crypto, SigningKey } from '#crypto'
import { createSender, type Outbox } from '#delivery'
import { CodedError, codeOf } from '#errors'
import { decodeDown, encodeUp, type Down } from '#messages'
import type { Clock } from '#ports'
import {
  checkReading,
  decodeBlock,
  encodeBlock,
  status as statusBits,
  timeQuality,
  type Reading,
} from '#reading'
import { openJournal } from './journal.ts'
import { createLive } from './live.ts'
import type { OpenRecord } from './record.ts'
import { createRegisters, type RegisterState } from './registers.ts'
import {
  anchorOf,
  clockStepped,
  elapsedSeconds,
  momentOf,
  sameTimeBase,
  type Moment,
} from './time.ts'
import type {
  Boot,
  Measurement,
  MeterEvent,
  MeterSettings,
  MeterStatus,
  MeterStore,
  RegisterEvent,
} from './types.ts'

export interface MeterOptions {
  crypto: Crypto
  key: SigningKey
  deviceId: string
  clock: Clock
  store: MeterStore
  settings: MeterSettings
  /** Without it readings of an unknown time cannot be dated exactly later. */
  boot?: Boot
  onEvent?(event: MeterEvent): void
}

/**
 * One meter. Methods that return payloads expect them to be sealed and sent in order, after any
 * `transaction` of the store around the call has committed; payloads that get lost are made good.
 */
export interface Meter {
  readonly deviceId: string
  /**
   * Turns a measurement into the next reading and persists it. Throws `meter/outbox-full` when not
   * even statements may be kept any more (energy is still counted), `reading/bad-value` for nonsense, and
   * whatever the store throws; nothing was recorded then.
   */
  measure(measurement: Measurement): Uint8Array[]
  /** Signs what is open, whatever its size; for an orderly stop. */
  closeBlock(): Uint8Array[]
  onOpen(): Uint8Array[]
  onClosed(): void
  onMessage(payload: Uint8Array): Uint8Array[]
  /** Closes blocks by age and resends; call about once a second. */
  tick(): Uint8Array[]
  /** The channel should be given up for a new one. */
  needsReconnect(): boolean
  /** True when every reading is signed and the fog has made it durable (or refused it for good). */
  drained(): boolean
  /** After a transaction around calls to this meter failed: back to what the store holds. */
  reload(): void
  status(): MeterStatus
}

/** A fog that asks for live readings again and again is answered at most this often. */
const LIVE_RESTART_MS = 1_000

/** Blocks that lose their readings with one new one: more than one only after the limit was lowered. */
const MOST_THINNED = 16

/** Opens a meter on its store; throws `meter/store-damaged`. */
export function createMeter(options: MeterOptions): Meter {
  const { crypto, key, deviceId, clock, store, settings, boot } = options
  const journal = openJournal({ crypto, key, deviceId, store })
  const registers = createRegisters(settings)
  const live = createLive()
  const emit = (event: MeterEvent) => options.onEvent?.(event)
  const counts = {
    readings: 0,
    blocks: 0,
    refusedMeasurements: 0,
    refusedBlocks: 0,
    readingsGivenUp: 0,
  }
  /** A reading that could not be stored, whose registers go on; null when the newest reading has them. */
  let carried: OpenRecord | null = null
  let thinned = 0
  let openedAtMs = clock.monotonic()
  let liveNotBefore = -Infinity
  /** The session may have carried what the store does not hold: it must not go on. */
  let stale = false

  const outbox: Outbox = {
    oldest: () => store.oldest() ?? journal.head.accounted + 1,
    next: () => journal.next,
    // Asked after every reading and receipt: no need to go to the disk when all has been sent.
    read: (from, max) => (from > journal.head.accounted ? [] : store.read(from, max)),
    dropThrough: (number) => store.dropThrough(number),
    refuse(first, last, code) {
      store.refuse(first, last, code)
      counts.refusedBlocks += 1
    },
    raiseNext(next) {
      const readingsGivenUp = journal.raise(next)
      emit({ type: 'numbers-raised', to: next, readingsGivenUp })
    },
  }

  const sender = createSender({
    outbox,
    clock,
    windowItems: settings.windowItems,
    resendAfterMs: settings.resendAfterMs,
    hello: (oldestHeld, next) => encodeUp({ type: 'hello', oldestHeld, next }),
    frame: (items) => items.map((item) => live.frame(item)),
    onEvent(event) {
      if (event.type === 'rewound') live.stop()
      emit({ type: 'delivery', event })
    },
  })

  /** Runs a change of the journal; if it cannot be stored, memory goes back to what is stored. */
  function durably<T>(work: () => T): T {
    try {
      return store.transaction(work)
    } catch (error) {
      reload()
      throw error
    }
  }

  function reload(): void {
    journal.reload()
    live.stop()
    sender.onClosed()
    stale = true
  }

  function nextRecord(m: Measurement): { record: OpenRecord; events: RegisterEvent[] } {
    const { timeS, powerW, voltageDv = null, currentMa = null } = m
    const values = { number: journal.next, timeS, powerW, voltageDv, currentMa }
    // Nonsense must not get as far as the doubts about the registers.
    checkReading({ ...values, importWh: m.importWh ?? 0, exportWh: m.exportWh ?? 0, status: 0 })
    const previous = carried ?? journal.newest
    const before = previous && momentOf(previous)
    const quality = m.timeQuality ?? timeQuality.synchronised
    const recent = [journal.newest, journal.head.newest]
    const now: Moment = { timeS, quality, anchor: anchorOf(boot, m, recent) }
    const elapsedS = before && elapsedSeconds(before, now)
    const state = previous && registerState(previous)
    const { importWh, exportWh, memory, flags, events } = registers.advance(state, m, elapsedS)
    const given = (m.status ?? 0) & ~statusBits.timeQualityMask
    const stepped = before !== null && clockStepped(before, now) ? statusBits.clockStep : 0
    const word = quality | given | flags | stepped
    const reading = checkReading({ ...values, importWh, exportWh, status: word })
    return { record: { reading, memory, anchor: now.anchor }, events }
  }

  function measure(m: Measurement): Uint8Array[] {
    const fromS = (carried ?? journal.newest)?.reading.timeS
    const { record, events } = nextRecord(m)
    const { reading } = record
    const most = settings.maxBlocks + settings.maxStatements
    if (store.count() >= most) {
      carried = record
      counts.refusedMeasurements += 1
      throw outboxFull(most)
    }
    const before = journal.open.at(-1)
    const payloads = before && endsBefore(before, record) ? closeBlock() : []
    durably(() => {
      if (journal.open.length === 0) openedAtMs = clock.monotonic()
      journal.append(record)
      payloads.push(...live.add(reading))
      if (endsBlock(reading)) sealOpen()
    })
    carried = null
    counts.readings += 1
    for (const what of events) emit({ type: 'register', what, number: reading.number })
    if ((reading.status & statusBits.clockStep) !== 0) {
      emit({ type: 'clock-step', number: reading.number, fromS: fromS ?? 0, toS: reading.timeS })
    }
    return [...payloads, ...catchUp()]
  }

  /** True when `next` cannot share a block with the open readings, of which `last` is the newest. */
  function endsBefore(last: OpenRecord, next: OpenRecord): boolean {
    return (
      crossesBoundary(last.reading.timeS, next.reading.timeS) ||
      !sameTimeBase(momentOf(last), momentOf(next))
    )
  }

  function crossesBoundary(earlierS: number, laterS: number): boolean {
    const { boundarySeconds } = settings
    return Math.ceil(earlierS / boundarySeconds) !== Math.ceil(laterS / boundarySeconds)
  }

  function endsBlock(reading: Reading): boolean {
    return (
      journal.open.length >= settings.maxReadings ||
      reading.timeS % settings.boundarySeconds === 0 ||
      isOld()
    )
  }

  function isOld(): boolean {
    return clock.monotonic() - openedAtMs >= settings.maxSeconds * 1_000
  }

  function sealOpen(): void {
    live.sealed(journal.seal())
    counts.blocks += 1
    for (let n = 0; n < MOST_THINNED && store.whole() > settings.maxBlocks; n++) giveUpOldest()
  }

  /** The oldest readings make room; what the meter signed about them stays, and says which they were. */
  function giveUpOldest(): void {
    const oldest = store.oldestWhole()
    if (oldest === null) return
    const { first, last } = oldest
    const block = decodeBlock(crypto, oldest.body, deviceId)
    store.thin({ first, last, body: encodeBlock({ ...block, readings: [] }) })
    counts.readingsGivenUp += block.readings.length
    thinned += 1
    emit({ type: 'readings-given-up', first, last, times: thinned })
  }

  function closeBlock(): Uint8Array[] {
    if (journal.open.length === 0) return []
    durably(sealOpen)
    return catchUp()
  }

  /** Sends signed blocks the window has room for, and follows live once there are none left. */
  function catchUp(): Uint8Array[] {
    const payloads = sender.pump()
    const caughtUp = sender.welcomed() && sender.sentBelow() > journal.head.accounted
    if (live.running && !caughtUp) live.stop()
    const wanted = settings.mode === 'live' && !live.running && clock.monotonic() >= liveNotBefore
    if (!wanted || !caughtUp) return payloads
    const open = journal.open.map((record) => record.reading)
    return [...payloads, ...live.start(open, journal.next)]
  }

  function missedLive(): void {
    live.stop()
    liveNotBefore = clock.monotonic() + LIVE_RESTART_MS
  }

  function onMessage(payload: Uint8Array): Uint8Array[] {
    let down: Down
    try {
      down = decodeDown(payload)
    } catch (error) {
      emit({ type: 'bad-message', code: codeOf(error) })
      return []
    }
    if (down.type === 'revocations') {
      emit({ type: 'revocations', list: down.list })
      return []
    }
    if (down.type === 'withdraw' || down.type === 'unknown') {
      emit({ type: 'bad-message', code: 'not-for-a-meter' })
      return []
    }
    if (down.type === 'ended') {
      if (down.code === 'superseded') emit({ type: 'superseded' })
      return []
    }
    if (down.type === 'resend') missedLive()
    // Readings of the open block have no signature yet: live mode starts over, the sender waits.
    const aboutOpen = down.type === 'resend' && down.from > journal.head.accounted
    return [...(aboutOpen ? [] : sender.onMessage(down)), ...catchUp()]
  }

  function tick(): Uint8Array[] {
    const payloads = journal.open.length > 0 && isOld() ? closeBlock() : []
    return [...payloads, ...sender.tick(), ...catchUp()]
  }

  function status(): MeterStatus {
    const newest = journal.newest?.reading
    return {
      deviceId,
      newestNumber: newest?.number ?? 0,
      newestTimeS: newest?.timeS ?? 0,
      importWh: newest?.importWh ?? 0,
      exportWh: newest?.exportWh ?? 0,
      sealedThrough: journal.head.accounted,
      receiptedThrough: outbox.oldest() - 1,
      openReadings: journal.open.length,
      outboxBlocks: store.count(),
      outboxStatements: store.count() - store.whole(),
      ...counts,
      liveMessages: live.messages,
      delivery: sender.counters(),
      welcomed: sender.welcomed(),
    }
  }

  return {
    deviceId,
    measure,
    closeBlock,
    onOpen() {
      live.stop()
      stale = false
      liveNotBefore = -Infinity
      return sender.onOpen()
    },
    onClosed() {
      live.stop()
      sender.onClosed()
    },
    onMessage,
    tick,
    needsReconnect: () => stale || sender.needsReconnect(),
    drained: () => journal.open.length === 0 && store.count() === 0,
    reload,
    status,
  }
}

function registerState({ reading, memory }: OpenRecord): RegisterState {
  const { importWh, exportWh } = reading
  return { ...memory, importWh, exportWh }
}

function outboxFull(most: number): CodedError {
  return new CodedError(
    'meter/outbox-full',
    `${most} signed blocks wait for the fog node, which is the limit: new readings are not ` +
      'recorded until it answers; check the broker address and the fog node',
  )
}
