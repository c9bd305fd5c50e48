import type { Random } from '#ports'
import { PowerCut, type FlashChip } from './flash-chip.ts'
import type { Firmware, Host, Native, Provision } from './firmware/host.ts'
import { Exhausted } from './firmware/memory.ts'
import { between, createLedger, type Spent } from './ledger.ts'
import { costMs, type Profile } from './profiles.ts'
import { createRtc } from './rtc.ts'
import type { Wifi } from './wifi.ts'

/** A firmware in memory. */
export interface Running {
  firmware: Firmware
  heapBytes(): number
  dispose(): void
}

/** True time, which no chip sees. */
export interface Time {
  nowMs(): number
  after(ms: number, run: () => void): void
  /** The same for a chip that sleeps: nothing else happens to it meanwhile. */
  asleep(ms: number, run: () => void): void
}

export interface Modem {
  /** Events after `close` or `drop` are ignored. */
  connect(
    channelId: string,
    events: { up(): void; message(frame: Uint8Array): void; down(): void },
  ): { publish(frame: Uint8Array): void; close(): void; drop(): void }
}

/** What a physical meter shows. */
export interface Shown {
  powerW: number
  importWh: number
  exportWh: number
}

export type ChipEvent = { event: string; atMs: number; [name: string]: unknown }

export interface ChipOptions {
  profile: Profile
  provision: Omit<Provision, 'sectors' | 'sectorBytes' | 'maxBlocks' | 'maxStatements'>
  flash: FlashChip
  /** Loads and starts the firmware; throws `Exhausted` when there is not enough memory. */
  start: (host: Host, provision: Provision) => Running | Promise<Running>
  native: Native
  time: Time
  modem: Modem
  wifi: Wifi
  random: Random
  /** Of its oscillator. */
  driftPpm: number
  shows(trueMs: number): Shown
  intervalS: number
  onEvent: (event: ChipEvent) => void
}

export interface Chip {
  /** The power comes. */
  powerOn(): void
  /** It goes, at this very moment, for so long; null: for good. */
  cut(offMs: number | null): void
  /** It goes in the middle of one of the next writes, for so long. */
  cutInWrite(operations: number, offMs: number): void
  /** Takes no more readings, signs what is open and delivers it; then sleeps for good. */
  finish(): void
  readonly finished: boolean
  spent(): Spent
}

/** Shares of the flash: blocks with readings, and what is left of them without; see #flash-store. */
const BLOCK_BYTES = 512
const STATEMENT_BYTES = 256
const OUTBOX_SHARE = 0.25
/** A time server's answer. */
const SNTP_MS = 60
const SNTP_ERROR_MS = 20
/** Nobody waits longer for a fog node with the radio on. */
const SESSION_LIMIT_MS = 45_000
/** A reset without a power cut: the watchdog's, or for want of memory. */
const RESET_MS = 1_000
/** Starting that often without ever getting to a reading is no accident. */
const MOST_RESETS = 5

/** One chip from its first power to its last. What happens is told by `onEvent`, and nothing else. */
export function createChip(options: ChipOptions): Chip {
  const { profile, flash, time, wifi, random, onEvent } = options
  const rtc = createRtc(options.driftPpm)
  const ledger = createLedger(profile, time.nowMs())
  const provision = provisionOf(options)
  let retained: Uint8Array = new Uint8Array()
  let running: Running | null = null
  let connection: ReturnType<Modem['connect']> | null = null
  /** Changes whenever what was going on ends: callbacks of an earlier life do nothing. */
  let life = 0
  /** The processor has work until then. */
  let busyUntilMs = 0
  let radioOn = false
  let sessionEndsMs = 0
  let powered = false
  let cutForMs: number | null = null
  let resets = 0
  let finishing = false
  let finished = false
  let mark = ledger.spent(time.nowMs())

  const nowMs = () => Math.max(time.nowMs(), busyUntilMs)
  const say = (event: string, more: object = {}) => onEvent({ event, atMs: nowMs(), ...more })

  function work(ms: number): void {
    busyUntilMs = nowMs() + ms
  }

  /** When the processor is done with what it has. */
  function whenDone(run: () => void): void {
    later(nowMs() - time.nowMs(), run)
  }

  function later(ms: number, run: () => void): void {
    const mine = life
    time.after(Math.max(0, ms), () => {
      if (mine === life) run()
    })
  }

  const host: Host = {
    now: () => Math.floor(rtc.wall(nowMs())),
    monotonic: () => Math.floor(rtc.count(nowMs())),
    timeKnown: () => rtc.known,
    random,
    flashRead: (at, length) => flash.read(at, length),
    flashProgram(at, bytes) {
      const before = flash.programs
      flash.program(at, bytes)
      work((flash.programs - before) * profile.flash.programMs)
    },
    flashErase(sector) {
      flash.erase(sector)
      work(profile.flash.eraseMs)
    },
    retained: () => retained,
    retain: (bytes) => (retained = bytes.slice(0, profile.retainedBytes)),
    connect: (channelId) => whenDone(() => connect(channelId)),
    publish(frame) {
      ledger.frame()
      const through = connection
      whenDone(() => through?.publish(frame))
    },
    disconnect() {
      const ended = connection
      connection = null
      ended?.close()
    },
    charge(operation, bytes) {
      const ms = costMs(profile, operation, bytes)
      ledger.arithmetic(ms)
      work(ms)
    },
    event(json) {
      const { event, ...more } = JSON.parse(json) as { event: string }
      say(event, more)
    },
    native: options.native,
  }

  /** Lets the firmware do something; what can end it ends it. True when it is still there. */
  function act<T>(run: (firmware: Firmware) => T): T | undefined {
    if (running === null) return undefined
    try {
      return run(running.firmware)
    } catch (error) {
      failed(error)
      return undefined
    }
  }

  function failed(error: unknown): void {
    if (flash.off || error instanceof PowerCut) return lose(cutForMs)
    if (error instanceof Exhausted) say('out-of-memory', { memoryBytes: profile.memoryBytes })
    else say('crashed', { error: String(error) })
    reset()
  }

  /** Everything in memory is gone; what is retained stays. */
  function reset(): void {
    stopRunning(true)
    resets += 1
    if (resets > MOST_RESETS) {
      say('gave-up', { resets: MOST_RESETS })
      finished = true
      return
    }
    ledger.begin('cpu', nowMs())
    later(RESET_MS, wake)
  }

  function stopRunning(drop: boolean): void {
    life += 1
    if (drop) connection?.drop()
    else connection?.close()
    connection = null
    radioOn = false
    running?.dispose()
    running = null
  }

  function lose(offMs: number | null): void {
    say('power-cut', { offMs })
    stopRunning(true)
    flash.cut()
    powered = false
    cutForMs = null
    retained = new Uint8Array()
    ledger.begin('off', nowMs())
    busyUntilMs = 0
    if (offMs !== null) later(offMs, powerOn)
  }

  function powerOn(): void {
    if (powered) return
    powered = true
    life += 1
    flash.powerOn()
    rtc.powerOn(time.nowMs())
    say('power-on')
    wake()
  }

  function wake(): void {
    life += 1
    const mine = life
    mark = ledger.spent(nowMs())
    ledger.begin('cpu', nowMs())
    work(profile.bootMs)
    const started = (next: Running) => {
      if (mine !== life) return next.dispose()
      running = next
      whenDone(awake)
    }
    const crashed = (error: unknown) => {
      if (mine === life) failed(error)
    }
    try {
      const next = options.start(host, provision)
      if (next instanceof Promise) next.then(started, crashed)
      else started(next)
    } catch (error) {
      crashed(error)
    }
  }

  function awake(): void {
    if (finishing) act((firmware) => firmware.closeBlock())
    else measure()
    if (running === null) return
    resets = 0
    if (act((firmware) => firmware.wantsLink()) === true) radio()
    else if (running !== null) whenDone(sleep)
  }

  function measure(): void {
    const shown = options.shows(nowMs())
    const { powerW, importWh, exportWh } = shown
    const recorded = act((firmware) => firmware.measure(powerW, importWh, exportWh))
    if (recorded === undefined) return
    const spent = between(mark, ledger.spent(nowMs()))
    say('reading', { recorded, ...shown, ...figures(spent) })
  }

  function radio(): void {
    radioOn = true
    ledger.begin('radio', nowMs())
    const found = wifi.associate(nowMs())
    if ('lostMs' in found) {
      later(found.lostMs, () => {
        say('wifi-lost')
        act((firmware) => firmware.disconnected())
        done()
      })
      return
    }
    later(found.afterMs + SNTP_MS, online)
  }

  function online(): void {
    const error = (random(1)[0]! / 128 - 1) * SNTP_ERROR_MS
    rtc.set(time.nowMs(), time.nowMs() + error)
    sessionEndsMs = time.nowMs() + SESSION_LIMIT_MS
    const holdsMs = wifi.holdsMs(time.nowMs())
    if (holdsMs < SESSION_LIMIT_MS) later(holdsMs, broken)
    act((firmware) => firmware.online())
    tickLater()
    done()
  }

  function broken(): void {
    if (!radioOn) return
    say('wifi-dropped')
    connection?.drop()
    connection = null
    act((firmware) => firmware.disconnected())
    done()
  }

  function connect(channelId: string): void {
    const mine = life
    const alive = (run: (firmware: Firmware) => void) => () => {
      if (mine !== life || !radioOn) return
      act(run)
      done()
    }
    connection = options.modem.connect(channelId, {
      up: alive((firmware) => firmware.connected()),
      message: (frame) => alive((firmware) => firmware.receive(frame))(),
      down: alive((firmware) => firmware.disconnected()),
    })
  }

  function tickLater(): void {
    const next = act((firmware) => firmware.nextTickAt())
    if (next === undefined || !radioOn) return
    later(rtc.trueFor(Math.max(1, next - host.monotonic())), () => {
      if (!radioOn) return
      if (time.nowMs() >= sessionEndsMs) act((firmware) => firmware.disconnected())
      else act((firmware) => firmware.tick())
      done()
      tickLater()
    })
  }

  /** Off with the radio when the firmware has no more use for it. */
  function done(): void {
    if (!radioOn || act((firmware) => firmware.delivered()) !== true) return
    radioOn = false
    const heapBytes = running?.heapBytes()
    say('session', { ...figures(between(mark, ledger.spent(nowMs()))), heapBytes })
    whenDone(sleep)
  }

  function sleep(): void {
    const waits = act((firmware) => firmware.wantsLink())
    const idle = finishing && waits === false && isDelivered()
    stopRunning(false)
    ledger.begin('sleep', nowMs())
    if (idle) {
      finished = true
      say('finished')
      return
    }
    const mine = life
    time.asleep(nowMs() - time.nowMs() + rtc.trueFor(untilNextMs()), () => {
      if (mine === life) wake()
    })
  }

  function isDelivered(): boolean {
    const status = act((firmware) => firmware.status())
    if (status === undefined) return false
    const { openReadings, outboxBlocks } = JSON.parse(status) as Record<string, number>
    return openReadings === 0 && outboxBlocks === 0
  }

  /** By the chip's clock, to its next full interval. */
  function untilNextMs(): number {
    const intervalMs = options.intervalS * 1_000
    const shown = rtc.known ? host.now() : host.monotonic()
    return intervalMs - (shown % intervalMs)
  }

  return {
    powerOn,
    cut(offMs) {
      if (powered) lose(offMs)
    },
    cutInWrite(operations, offMs) {
      cutForMs = offMs
      flash.cutAfter(operations)
    },
    finish: () => (finishing = true),
    get finished() {
      return finished
    },
    spent: () => ledger.spent(nowMs()),
  }
}

/** Rounded for a log. */
function figures({ ms, arithmeticMs, mJ }: Spent): object {
  const awakeMs = Math.round(ms.cpu + ms.radio)
  return {
    awakeMs,
    radioMs: Math.round(ms.radio),
    arithmeticMs: Math.round(arithmeticMs * 10) / 10,
    mJ: Math.round(mJ * 10) / 10,
  }
}

function provisionOf({ provision, flash }: ChipOptions): Provision {
  const room = flash.sectors * flash.sectorBytes * OUTBOX_SHARE
  return {
    ...provision,
    sectors: flash.sectors,
    sectorBytes: flash.sectorBytes,
    maxBlocks: Math.floor(room / BLOCK_BYTES),
    maxStatements: Math.floor((room * 0.8) / STATEMENT_BYTES),
  }
}
