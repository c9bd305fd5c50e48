import { toBase64Url } from '#bytes'
import { Backoff, createInitiator, type Initiator, type Output } from '#channel'
import { CLOCK_SLACK_S, createTrust, decodeCredential, judgingTime } from '#credential'
import type { Crypto } from '#crypto'
import { CodedError } from '#errors'
import { openFlashStore } from '#flash-store'
import { createMeter, meterDefaults, type MeterEvent } from '#meter'
import type { Clock, Random } from '#ports'
import { timeQuality } from '#reading'
import type { Firmware, Host, Provision } from './host.ts'
import { chargedCrypto, createMemory, type Memory } from './memory.ts'
import { openRetained } from './retained.ts'
import { followRevocations } from './revocations.ts'

/** One reading a minute makes a signed block a quarter of an hour, whole quarters. */
const BLOCK = { maxReadings: 16, maxSeconds: 900, boundarySeconds: 900 }
/** Every attempt costs seconds of radio: patience is cheaper. */
const BACKOFF = { firstMs: 30_000, maxMs: 3_600_000 }
/** A receipt that takes longer was lost; the radio is on meanwhile. */
const RESEND_MS = 4_000
const CHANNEL_ID_BYTES = 6
/** One fog node and its authority. */
const CREDENTIALS_KEPT = 2

/** Errors of one measurement: nothing was recorded, life goes on. */
const SINGLE: readonly string[] = ['meter/outbox-full', 'reading/bad-value', 'flash/full']

/**
 * A meter on a chip that sleeps between its readings: the core that laptops run too, on a flash log
 * and a radio that is off most of the time. It is started anew after every sleep.
 */
export function createFirmware(host: Host, provision: Provision, plain: Crypto): Firmware {
  const memory = createMemory(provision.roomBytes)
  return memory.step(provision.bootBytes, () => assemble(host, provision, plain, memory))
}

function assemble(host: Host, provision: Provision, plain: Crypto, memory: Memory): Firmware {
  const crypto = chargedCrypto(plain, host, memory)
  const random: Random = (length) => host.random(length)
  const clock: Clock = { now: () => host.now(), monotonic: () => host.monotonic() }
  const credential = decodeCredential(provision.credential)
  const own = { credential, key: crypto.signingKey(provision.signingSecret) }
  const store = openFlashStore({
    sectors: provision.sectors,
    sectorBytes: provision.sectorBytes,
    read: (at, length) => host.flashRead(at, length),
    program: (at, bytes) => host.flashProgram(at, bytes),
    erase: (sector) => host.flashErase(sector),
  })
  const retained = openRetained(host)
  const backoff = new Backoff(BACKOFF, random, retained.failures)
  const revocations = followRevocations(crypto, provision.authorityKey, store)
  const trust = createTrust({
    crypto,
    authorityKey: provision.authorityKey,
    now: judgingTime(clock, credential),
    slackS: CLOCK_SLACK_S,
    revocations: revocations.current,
    cacheSize: CREDENTIALS_KEPT,
  })
  const meter = createMeter({
    crypto,
    key: own.key,
    deviceId: credential.deviceId,
    clock,
    store,
    settings: {
      ...meterDefaults,
      ...BLOCK,
      mode: 'block',
      maxBlocks: provision.maxBlocks,
      maxStatements: provision.maxStatements,
      resendAfterMs: RESEND_MS,
    },
    boot: { id: retained.bootId, ageS: () => Math.floor(host.monotonic() / 1_000) },
    onEvent: heard,
  })
  let channel: Initiator | null = null
  /** Said once the step is over: what was said for want of memory is not said at all. */
  let said: object[] = []

  function say(event: object): void {
    said.push(event)
  }

  function heard(event: MeterEvent): void {
    if (event.type === 'revocations') {
      const list = revocations.offer(event.list)
      if (list !== null) say({ event: 'revocations', number: list.number })
    } else if (event.type === 'superseded') say({ event: 'superseded' })
    else if (event.type === 'delivery') say({ event: 'delivery', ...event.event })
    else say({ event: event.type, ...event })
  }

  function step<T>(work: () => T): T {
    said = []
    const result = memory.step(provision.reserveBytes, work)
    for (const event of said) host.event(JSON.stringify(event))
    return result
  }

  /** One commit, and only then does anything leave; a failed one is told and forgotten. */
  function together(change: () => Uint8Array[]): boolean {
    let payloads: Uint8Array[]
    try {
      payloads = store.transaction(change)
    } catch (error) {
      if (!(error instanceof CodedError) || !SINGLE.includes(error.code)) throw error
      say({ event: 'not-recorded', code: error.code })
      meter.reload()
      return false
    }
    send(payloads)
    return true
  }

  function send(payloads: readonly Uint8Array[]): void {
    if (channel?.state !== 'open') return
    for (const payload of payloads) host.publish(channel.send(payload))
  }

  function perform(outputs: readonly Output[]): void {
    for (const output of outputs) {
      if (output.type === 'frame') host.publish(output.bytes)
      else if (output.type === 'message') together(() => meter.onMessage(output.payload))
      else if (output.type === 'closed') return ended(output.code, output.retry)
      else {
        say({ event: 'open', node: output.peer.deviceId, rekey: output.rekey })
        if (!output.rekey) send(meter.onOpen())
      }
    }
  }

  function ended(code: string, retry: boolean): void {
    const waitMs = retry ? backoff.next() : backoff.longest()
    retained.wait(backoff.failures, host.monotonic() + waitMs)
    say({ event: 'closed', code, waitMs })
    forget()
  }

  function forget(): void {
    channel?.close()
    channel = null
    meter.onClosed()
    host.disconnect()
  }

  /** Welcomed, and every signed block is the fog node's now. */
  function delivered(): boolean {
    return channel?.state === 'open' && meter.status().welcomed && store.count() === 0
  }

  function tick(): void {
    if (channel === null) return
    perform(channel.tick())
    together(() => meter.tick())
    if (meter.needsReconnect()) ended('delivery/stalled', true)
  }

  return {
    measure: (powerW, importWh, exportWh) =>
      step(() =>
        together(() =>
          meter.measure({
            timeS: Math.max(0, Math.floor(host.now() / 1_000)),
            timeQuality: host.timeKnown() ? timeQuality.synchronised : timeQuality.unknown,
            ageS: Math.floor(host.monotonic() / 1_000),
            powerW,
            importWh,
            exportWh,
          }),
        ),
      ),
    wantsLink: () => store.count() > 0 && host.monotonic() >= retained.waitUntilMs,
    online: () =>
      step(() => {
        const channelId = toBase64Url(host.random(CHANNEL_ID_BYTES))
        channel = createInitiator({
          crypto,
          random,
          clock,
          own,
          trust,
          peerRole: 'fog',
          group: credential.group,
          node: provision.node,
          channelId,
        })
        host.connect(channelId)
      }),
    connected: () => step(() => perform(channel?.start() ?? [])),
    receive: (frame) =>
      step(() => {
        perform(channel?.receive(frame) ?? [])
        if (!delivered()) return
        backoff.reset()
        retained.wait(0, 0)
        store.flush()
        say({ event: 'delivered', through: meter.status().receiptedThrough })
        forget()
      }),
    disconnected: () => step(() => ended('mqtt-link/disconnected', true)),
    tick: () => step(tick),
    nextTickAt: () => Math.min(channel?.nextTickAt ?? Infinity, host.monotonic() + 1_000),
    delivered: () => channel === null,
    closeBlock: () => step(() => void together(() => meter.closeBlock())),
    status: () => step(() => JSON.stringify(meter.status())),
  }
}
