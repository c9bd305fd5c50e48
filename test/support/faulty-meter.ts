import { concat, toBase64Url, toHex } from '#bytes'
import { createInitiator, type ChannelLimits, type Identity, type Output } from '#channel'
import { createTrust, type Trust } from '#credential'
import type { Crypto } from '#crypto'
import { nodeCrypto } from '#crypto-node'
import { loadIdentity, type EnrolmentPaths } from '#identity'
import { encodeDown } from '#messages'
import { createMeter, meterDefaults, type Meter, type MeterStore } from '#meter'
import { openConnection, type Connection } from '#mqtt-link'
import type { Clock, Random } from '#ports'
import { checkRevocations, type RevocationList } from '#credential'
import { systemClock, systemRandom } from '#service'
import { memoryMeter } from './memory-meter.ts'

export type Mangle = (bytes: Uint8Array) => Uint8Array[]

/** What is broken in a meter; nothing when empty. Everything else is the real cores. */
export interface Fault {
  readonly random?: Random
  readonly limits?: Partial<ChannelLimits>
  /** Whom it presents. */
  readonly own?: (own: Identity) => Identity
  /** What signs its blocks. */
  readonly blockKey?: (own: Identity) => Identity['key']
  /** The crypto of its channel. */
  readonly crypto?: Crypto
  readonly trust?: (trust: Trust) => Trust
  readonly store?: (store: MeterStore) => MeterStore
  readonly now?: () => number | null
  readonly ignoresRevocations?: true
  /** Frames and messages on their way, each of them instead of the original. */
  readonly frameUp?: () => Mangle
  readonly frameDown?: () => Mangle
  readonly messageUp?: (own: Identity) => Mangle
  readonly messageDown?: (store: MeterStore) => Mangle
  /** Handles a record it has handled before. */
  readonly replays?: true
  /** Does not wait for the welcome. */
  readonly eager?: true
  /** Sends a record when message_4 does not come (on its third connection), or when it is wrong. */
  readonly without4?: 'missing' | 'wrong'
  readonly mode?: 'block'
}

const READING_MS = 60
const TICK_MS = 20
const RECONNECT_MS = 60
const STEP_S = 10
/** So often message_3 goes out before a meter that does not wait for message_4 goes on without. */
const PATIENCE = 3
const FAST: Partial<ChannelLimits> = { retransmitMs: 200, giveUpMs: 8_000, unknownSessionMs: 200 }

const same: Mangle = (bytes) => [bytes]

/** A meter in this process that measures as fast as a test wants it, with one thing broken. */
export function startFaultyMeter(files: EnrolmentPaths, url: string, fault: Fault) {
  const identity = loadIdentity({ ...files, key: files.key ?? '' })
  const key = nodeCrypto.signingKey(identity.signingSecret)
  const honest: Identity = { credential: identity.credential, key }
  const own = fault.own?.(honest) ?? honest
  let list: RevocationList | null = null
  const believed = createTrust({
    crypto: nodeCrypto,
    authorityKey: identity.authorityKey,
    now: fault.now ?? (() => Math.floor(Date.now() / 1000)),
    revocations: () => list,
  })
  const trust = fault.trust?.(believed) ?? believed
  const memory = memoryMeter().store
  const store = fault.store?.(memory) ?? memory
  const clock: Clock = systemClock
  const meter: Meter = createMeter({
    crypto: nodeCrypto,
    key: fault.blockKey?.(honest) ?? key,
    deviceId: identity.deviceId,
    clock,
    store,
    settings: { ...meterDefaults, maxReadings: 4, mode: fault.mode ?? 'live' },
    onEvent: (event) => {
      if (event.type !== 'revocations' || fault.ignoresRevocations) return
      list = checkRevocations(nodeCrypto, identity.authorityKey, event.list)
    },
  })
  const messageUp = fault.messageUp?.(honest) ?? same
  const messageDown = fault.messageDown?.(store) ?? same
  let stopped = false
  let connections = 0
  let timer: NodeJS.Timeout | undefined
  let link: ReturnType<typeof connect> | null = null

  function connect() {
    connections += 1
    const channelId = toBase64Url(systemRandom(6))
    const frameUp = fault.frameUp?.() ?? same
    const frameDown = fault.frameDown?.() ?? same
    const handled = new Map<string, Uint8Array>()
    let thirds = 0
    const initiator = createInitiator({
      crypto: fault.crypto ?? nodeCrypto,
      random: fault.random ?? systemRandom,
      clock,
      own,
      trust,
      node: 'fog-1',
      channelId,
      peerRole: 'fog',
      group: 'default',
      limits: { ...FAST, ...fault.limits },
    })
    const connection: Connection = openConnection(
      { url, clientId: channelId, topicFilter: `fm/1/fog-1/dn/${channelId}` },
      {
        up: () => perform(initiator.start()),
        message: (_topic, payload, done) => {
          for (const frame of frameDown(Uint8Array.from(payload))) receive(frame)
          done()
        },
        drain: () => undefined,
        down: () => {
          initiator.close()
          meter.onClosed()
          link = null
          if (!stopped) timer = setTimeout(reconnect, RECONNECT_MS)
        },
      },
    )

    function publish(frame: Uint8Array): void {
      for (const one of frameUp(frame)) connection.publish(`fm/1/fog-1/up/${channelId}`, one)
      const isMessage3 = (frame[0] ?? 0) >= 0x20 && frame[0] !== 0xf5
      if (isMessage3 && fault.without4 === 'missing' && connections === 3 && ++thirds === PATIENCE)
        sendUnconfirmed()
    }

    /** A record for keys that nobody has confirmed; its content does not matter. */
    function sendUnconfirmed(): void {
      if (initiator.state === 'open') return
      connection.publish(
        `fm/1/fog-1/up/${channelId}`,
        concat(Uint8Array.of(0, 0), systemRandom(24)),
      )
    }

    function receive(frame: Uint8Array): void {
      const before = handled.get(toHex(frame))
      if (fault.replays && before !== undefined) return hear(before)
      const outputs = initiator.receive(frame)
      for (const output of outputs)
        if (output.type === 'message') handled.set(toHex(frame), output.payload)
      perform(outputs)
    }

    function hear(payload: Uint8Array): void {
      for (const one of messageDown(payload)) send(meter.onMessage(one))
    }

    function perform(outputs: readonly Output[]): void {
      for (const output of outputs) {
        if (output.type === 'frame') publish(output.bytes)
        else if (output.type === 'message') hear(output.payload)
        else if (output.type === 'open' && !output.rekey) greet()
        else if (output.type === 'closed') {
          if (fault.without4 === 'wrong' && output.code === 'edhoc/not-authentic') sendUnconfirmed()
          void connection.close()
        }
      }
    }

    function greet(): void {
      send(meter.onOpen())
      if (fault.eager) hear(encodeDown({ type: 'welcome', durable: 0 }))
    }

    function send(payloads: readonly Uint8Array[]): void {
      if (initiator.state !== 'open') return
      for (const payload of payloads.flatMap(messageUp)) publish(initiator.send(payload))
    }

    return {
      send,
      connection,
      tick: () => {
        if (clock.monotonic() >= initiator.nextTickAt) perform(initiator.tick())
      },
    }
  }

  function reconnect(): void {
    link = connect()
  }

  let timeS = Math.floor(Date.now() / 1000)
  let importWh = 1_000
  const measuring = setInterval(() => {
    timeS += STEP_S
    importWh += 3
    const measured = {
      timeS,
      powerW: 1_000 + (timeS % 97),
      voltageDv: 2_300,
      importWh,
      exportWh: 0,
    }
    const payloads = meter.measure(measured)
    link?.send(payloads)
  }, READING_MS)
  const ticking = setInterval(() => {
    link?.tick()
    link?.send(meter.tick())
  }, TICK_MS)
  reconnect()

  return {
    async close() {
      stopped = true
      clearTimeout(timer)
      clearInterval(measuring)
      clearInterval(ticking)
      await link?.connection.close()
    },
  }
}
