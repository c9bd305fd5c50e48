import type { Firmware } from './firmware/host.ts'
import type { Ledger } from './ledger.ts'
import type { Processor } from './processor.ts'
import type { Rtc } from './rtc.ts'
import type { ChipOptions, Modem } from './surroundings.ts'

export interface RadioOptions extends Pick<ChipOptions, 'time' | 'wifi' | 'modem' | 'random'> {
  rtc: Rtc
  ledger: Ledger
  processor: Processor
  /** Lets the firmware do something; undefined when that ended it. */
  act: <T>(run: (firmware: Firmware) => T) => T | undefined
  say: (event: string, more?: object) => void
  /** The firmware has no more use for it; it is off. */
  onDone(): void
}

/** A chip's Wi-Fi, time server and MQTT client, from switching on until the firmware is through. */
export interface Radio {
  on(): void
  /** Off; `drop`: without a word to the broker. */
  off(drop: boolean): void
  connect: (channelId: string) => void
  publish: (frame: Uint8Array) => void
  disconnect: () => void
}

/** A time server's answer. */
const SNTP_MS = 60
const SNTP_ERROR_MS = 20
/** Nobody waits longer for a fog node with the radio on. */
const SESSION_LIMIT_MS = 45_000
/** What a chip's MQTT client has room for; of a longer message it lets go. */
const RECEIVE_BYTES = 1_024

export function createRadio(options: RadioOptions): Radio {
  const { time, wifi, rtc, ledger, processor, act, say } = options
  let isOn = false
  let sessionEndsMs = 0
  let connection: ReturnType<Modem['connect']> | null = null

  function on(): void {
    isOn = true
    ledger.begin('radio', processor.nowMs())
    const found = wifi.associate(processor.nowMs())
    if ('afterMs' in found) processor.later(found.afterMs + SNTP_MS, online)
    else processor.later(found.lostMs, () => offline('wifi-lost'))
  }

  function online(): void {
    const error = (options.random(1)[0]! / 128 - 1) * SNTP_ERROR_MS
    rtc.set(time.nowMs(), time.nowMs() + error)
    sessionEndsMs = time.nowMs() + SESSION_LIMIT_MS
    const holdsMs = wifi.holdsMs(time.nowMs())
    if (holdsMs < SESSION_LIMIT_MS) processor.later(holdsMs, () => offline('wifi-dropped'))
    act((firmware) => firmware.online())
    tickLater()
    done()
  }

  function offline(event: string): void {
    if (!isOn) return
    say(event)
    connection?.drop()
    connection = null
    act((firmware) => firmware.disconnected())
    done()
  }

  /** Something that happens to the firmware, if it is still the same and has the radio on. */
  function alive<A extends unknown[]>(run: (firmware: Firmware, ...args: A) => void) {
    return processor.mine((...args: A) => {
      if (!isOn) return
      act((firmware) => run(firmware, ...args))
      done()
    })
  }

  function connect(channelId: string): void {
    const message = alive((firmware, frame: Uint8Array) => firmware.receive(frame))
    connection = options.modem.connect(channelId, {
      up: alive((firmware) => firmware.connected()),
      message(frame) {
        if (frame.length <= RECEIVE_BYTES) message(frame)
        else say('message-too-long', { bytes: frame.length })
      },
      down: alive((firmware) => firmware.disconnected()),
    })
  }

  function tickLater(): void {
    const next = act((firmware) => firmware.nextTickAt())
    if (next === undefined || !isOn) return
    const count = Math.floor(rtc.count(processor.nowMs()))
    processor.later(rtc.trueFor(Math.max(1, next - count)), () => {
      if (!isOn) return
      if (time.nowMs() >= sessionEndsMs) act((firmware) => firmware.disconnected())
      else act((firmware) => firmware.tick())
      done()
      tickLater()
    })
  }

  function done(): void {
    if (!isOn || act((firmware) => firmware.delivered()) !== true) return
    isOn = false
    options.onDone()
  }

  return {
    on,
    off(drop) {
      if (drop) connection?.drop()
      else connection?.close()
      connection = null
      isOn = false
    },
    connect: (channelId) => processor.whenDone(() => connect(channelId)),
    publish(frame) {
      ledger.frame()
      const through = connection
      processor.whenDone(() => through?.publish(frame))
    },
    disconnect() {
      const ended = connection
      connection = null
      ended?.close()
    },
  }
}
