import { PowerCut } from './flash-chip.ts'
import { hostParts, provisionOf } from './chip-host.ts'
import type { Firmware, Host } from './firmware/host.ts'
import { Exhausted } from './firmware/memory.ts'
import { between, createLedger, figures, type Spent } from './ledger.ts'
import { createProcessor } from './processor.ts'
import { createRadio } from './radio.ts'
import { createRtc } from './rtc.ts'
import type { ChipOptions, Running } from './surroundings.ts'

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

/** A reset without a power cut: the watchdog's, or for want of memory. */
const RESET_MS = 1_000
/** Starting that often without ever getting to sleep is no accident. */
const MOST_RESETS = 5

/** One chip from its first power to its last. What happens is told by `onEvent`, and nothing else. */
export function createChip(options: ChipOptions): Chip {
  const { profile, flash, time, onEvent } = options
  const rtc = createRtc(options.driftPpm)
  const ledger = createLedger(profile, time.nowMs())
  const provision = provisionOf(options)
  let retained: Uint8Array = new Uint8Array()
  let running: Running | null = null
  let powered = false
  let cutForMs: number | null = null
  let resets = 0
  let finishing = false
  let finished = false
  let mark = ledger.spent(time.nowMs())

  const processor = createProcessor(time)
  const { nowMs, whenDone } = processor
  const say = (event: string, more: object = {}) => onEvent({ event, atMs: nowMs(), ...more })
  const radio = createRadio({ ...options, rtc, ledger, processor, act, say, onDone: delivered })

  const host: Host = {
    ...hostParts({ ...options, rtc, ledger, processor, radio, say }),
    retained: () => retained,
    retain: (bytes) => (retained = bytes.slice(0, profile.retainedBytes)),
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
    processor.later(RESET_MS, wake)
  }

  function stopRunning(drop: boolean): void {
    processor.newLife()
    radio.off(drop)
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
    processor.stop()
    if (offMs !== null) processor.later(offMs, powerOn)
  }

  function powerOn(): void {
    if (powered) return
    powered = true
    processor.newLife()
    flash.powerOn()
    rtc.powerOn(time.nowMs())
    say('power-on')
    wake()
  }

  function wake(): void {
    processor.newLife()
    mark = ledger.spent(nowMs())
    ledger.begin('cpu', nowMs())
    processor.work(profile.bootMs)
    let taken = false
    const started = processor.mine((next: Running) => {
      taken = true
      running = next
      whenDone(awake)
    })
    const crashed = processor.mine(failed)
    try {
      const next = options.start(host, provision)
      if (next instanceof Promise) {
        next.then((loaded) => {
          started(loaded)
          if (!taken) loaded.dispose()
        }, crashed)
      } else started(next)
    } catch (error) {
      crashed(error)
    }
  }

  function awake(): void {
    if (finishing) act((firmware) => firmware.closeBlock())
    else measure()
    if (running === null) return
    if (act((firmware) => firmware.wantsLink()) === true) radio.on()
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

  function delivered(): void {
    const heapBytes = running?.heapBytes()
    say('session', { ...figures(between(mark, ledger.spent(nowMs()))), heapBytes })
    whenDone(sleep)
  }

  function sleep(): void {
    const waits = act((firmware) => firmware.wantsLink())
    const idle = finishing && waits === false && isDelivered()
    stopRunning(false)
    resets = 0
    ledger.begin('sleep', nowMs())
    if (idle) {
      finished = true
      say('finished')
      return
    }
    processor.asleep(rtc.trueFor(untilNextMs()), wake)
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
