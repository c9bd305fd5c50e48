import { chacha20 } from '@noble/ciphers/chacha.js'
import { concat, toHex } from '#bytes'
import type { Identity } from '#channel'
import { decodeCredential, issueCredential, type Credential, type Trust } from '#credential'
import type { Crypto } from '#crypto'
import { nodeCrypto } from '#crypto-node'
import { codeOf } from '#errors'
import { decodeDown, decodeUp, encodeUp } from '#messages'
import type { MeterStore } from '#meter'
import {
  buildBlock,
  decodeBlock,
  decodeLive,
  encodeBlock,
  firstChain,
  type Reading,
} from '#reading'
import { systemRandom } from '#service'
import type { Fault, Mangle } from './faulty-meter.ts'

const stranger = nodeCrypto.signingKey(new Uint8Array(32).fill(9))
const LIVE = 1
const TAG_BYTES = 16

/** Hears messages of these types only. */
const deafTo =
  (...types: string[]) =>
  (payload: Uint8Array): Uint8Array[] =>
    types.includes(decodeDown(payload).type) ? [] : [payload]

/** A trust that believes what it should not, and otherwise what the real one says. */
function gullible(
  trust: Trust,
  change: (encoded: Uint8Array, trust: Trust) => ReturnType<Trust['check']>,
): Trust {
  return {
    check: (encoded) => change(encoded, trust),
    checkPeer(encoded) {
      const credential = change(encoded, trust)
      return { credential, key: nodeCrypto.verifyKey(credential.publicKey) }
    },
  }
}

/** ChaCha20 without looking at the Poly1305 tag, but for texts that are nothing else. */
const tagless: Crypto = {
  ...nodeCrypto,
  aead(key) {
    const kept = key.slice()
    const honest = nodeCrypto.aead(key)
    return {
      ...honest,
      open: (nonce, aad, ciphertext) =>
        ciphertext.length === TAG_BYTES
          ? honest.open(nonce, aad, ciphertext)
          : chacha20(kept, nonce, ciphertext.slice(0, -TAG_BYTES), undefined, 1),
    }
  },
}

/** Believes every signature in the handshake. */
const credulous = (trust: Trust): Trust => ({
  ...trust,
  checkPeer(encoded) {
    const credential = trust.check(encoded)
    const { publicKey } = credential
    return { credential, key: { publicKey, verify: () => true } }
  },
})

function issuedByStranger(like: Credential): Credential {
  return decodeCredential(issueCredential({ ...like, authority: stranger }))
}

function anybody(encoded: Uint8Array, trust: Trust): Credential {
  try {
    return trust.check(encoded)
  } catch (error) {
    if (codeOf(error) === 'credential/untrusted') return decodeCredential(encoded)
    throw error
  }
}

/** Keeps what it was told to give up. */
const emptyHanded = (store: MeterStore): MeterStore => ({ ...store, refuse: () => undefined })

interface Parts {
  previousChain: Uint8Array
  startImportWh: number
  readings: Reading[]
}

/** The number of the block to break: late enough that something lies before and after it. */
const BROKEN = 3

/** Signs every block anew, the third of them with other content; the chain goes on from that. */
const resigned =
  (change: (parts: Parts) => Parts) =>
  ({ credential, key }: Identity): Mangle => {
    const { deviceId } = credential
    const done = new Map<number, Uint8Array>()
    let previousChain = firstChain(nodeCrypto, deviceId)
    return (payload) => {
      const up = decodeUp(payload)
      if (up.type !== 'report') return [payload]
      const { statement, readings } = decodeBlock(nodeCrypto, up.body, deviceId)
      const known = done.get(statement.last)
      if (known !== undefined) return [known]
      const { startImportWh, startExportWh, skipped } = statement
      const parts = { previousChain, startImportWh, readings }
      const changed = done.size + 1 === BROKEN ? change(parts) : parts
      const block = buildBlock(nodeCrypto, key, { deviceId, startExportWh, skipped, ...changed })
      previousChain = block.statement.chain
      const message = encodeUp({ type: 'report', body: encodeBlock(block) })
      done.set(statement.last, message)
      return [message]
    }
  }

/** The second register of a block falls below the first; the others stay. */
function dented(readings: readonly Reading[]): Reading[] {
  return readings.map((reading, index) =>
    index === 1 ? { ...reading, importWh: (readings[0]?.importWh ?? 1) - 1 } : reading,
  )
}

/** Leaves out the second report, once. */
function withoutOne(): Mangle {
  let count = 0
  return (payload) => (decodeUp(payload).type === 'report' && ++count === 2 ? [] : [payload])
}

/** Every live reading in full. */
function inFull(): Mangle {
  let base: Reading | null = null
  return (payload) => {
    const up = decodeUp(payload)
    if (up.type === 'reading') base = up.reading
    if (up.type !== 'live' || base === null) return [payload]
    base = decodeLive(base, up.values)
    return [encodeUp({ type: 'reading', reading: base })]
  }
}

/** Sends a handshake message once only. */
const once = (isOne: (first: number) => boolean) => (): Mangle => {
  const sent = new Set<string>()
  return (frame) => {
    if (!isOne(frame[0] ?? 0)) return [frame]
    const before = sent.has(toHex(frame))
    sent.add(toHex(frame))
    return before ? [] : [frame]
  }
}

const isMessage1 = (first: number) => first === 0xf5
const isMessage3 = (first: number) => first >= 0x20 && first < 0x38

/** Writes another byte into the frames that begin like this; -1 is the last. */
const spoilt =
  (isOne: (first: number) => boolean, at: number, byte: (was: number) => number) =>
  (): Mangle =>
  (frame) => {
    if (!isOne(frame[0] ?? 0)) return [frame]
    const out = frame.slice()
    const index = at < 0 ? out.length + at : at
    out[index] = byte(out[index] ?? 0)
    return [out]
  }

/** One broken thing each, under the clause that must name it. */
export const faults: readonly { clause: string; what: string; fault: Fault; also?: string }[] = [
  {
    clause: 'message-1/fresh-key',
    what: 'uses one ephemeral key for every handshake',
    fault: {
      random: (length) => (length === 32 ? new Uint8Array(32).fill(5) : systemRandom(length)),
    },
  },
  {
    clause: 'message-3/signature',
    what: 'signs message_3 with another key',
    fault: { own: ({ credential }) => ({ credential, key: stranger }) },
  },
  {
    clause: 'message-1/method',
    what: 'asks for method 1',
    fault: { frameUp: spoilt(isMessage1, 1, () => 1) },
  },
  {
    clause: 'message-1/suite',
    what: 'asks for suite 0',
    fault: { frameUp: spoilt(isMessage1, 2, () => 0) },
  },
  {
    clause: 'message-1/identifier',
    what: 'calls its session 0',
    fault: { frameUp: spoilt(isMessage1, -1, () => 0) },
  },
  {
    clause: 'message-3/encryption',
    what: 'gets one bit of message_3 wrong',
    fault: { frameUp: spoilt(isMessage3, -1, (was) => was ^ 1) },
  },
  {
    clause: 'message-3/credential',
    what: 'has a credential of another authority',
    fault: { own: ({ credential, key }) => ({ credential: issuedByStranger(credential), key }) },
  },
  {
    clause: 'message-4/awaited',
    what: 'does not wait for message_4',
    fault: { without4: 'missing' },
  },
  {
    clause: 'retransmit/message-1',
    what: 'never repeats message_1',
    fault: { frameUp: once(isMessage1) },
  },
  {
    clause: 'retransmit/message-3',
    what: 'never repeats message_3',
    fault: { frameUp: once(isMessage3) },
  },
  {
    clause: 'record/counter',
    what: 'sends a record once more',
    fault: {
      frameUp: () => {
        const sent: Uint8Array[] = []
        return (frame) => {
          if ((frame[0] ?? 0) >= 0x20) return [frame]
          sent.push(frame)
          const old = sent.length === 8 ? sent[4] : undefined
          return old === undefined ? [frame] : [frame, old]
        }
      },
    },
  },
  {
    clause: 'record/rekey',
    what: 'never makes new keys',
    fault: { limits: { rekeyAfterRecords: 2 ** 40 } },
  },
  {
    clause: 'hello/waits',
    what: 'sends readings before the welcome',
    fault: { eager: true },
    // It cannot know yet what the welcome will say is durable.
    also: 'receipts/forgets',
  },
  {
    clause: 'message/form',
    what: 'writes a length that could be shorter',
    fault: {
      messageUp: () => (payload) =>
        payload[0] === 0x87 && payload[1] === LIVE
          ? [concat(Uint8Array.of(0x98, 7), payload.subarray(1))]
          : [payload],
    },
  },
  {
    clause: 'reading/live',
    what: 'writes what has not changed',
    fault: {
      messageUp: () => (payload) => {
        const up = decodeUp(payload)
        if (up.type !== 'live' || up.values.length !== 6) return [payload]
        return [encodeUp({ type: 'live', values: [...up.values, 0] })]
      },
    },
  },
  {
    clause: 'block/signature',
    what: 'signs its blocks with another key',
    fault: { blockKey: () => stranger },
  },
  {
    clause: 'reading/registers',
    what: 'lets a register fall',
    fault: {
      mode: 'block',
      messageUp: resigned((parts) => ({ ...parts, readings: dented(parts.readings) })),
    },
  },
  {
    clause: 'block/numbers',
    what: 'leaves a block out',
    fault: { mode: 'block', messageUp: withoutOne },
  },
  {
    clause: 'block/chain',
    what: 'begins a chain anew',
    fault: {
      mode: 'block',
      messageUp: resigned((parts) => ({ ...parts, previousChain: new Uint8Array(32) })),
    },
  },
  {
    clause: 'block/registers',
    what: 'begins a block with other registers than the one before had',
    fault: {
      mode: 'block',
      messageUp: resigned((parts) => ({ ...parts, startImportWh: parts.startImportWh - 1 })),
    },
  },
  {
    clause: 'size/live',
    what: 'sends every live reading in full',
    fault: { messageUp: inFull },
  },
  {
    clause: 'receipts/forgets',
    what: 'takes no notice of receipts',
    fault: {
      messageDown: () => (payload) => {
        const down = decodeDown(payload)
        if (down.type === 'welcome') return [Uint8Array.of(0x82, 0x00, 0x00)]
        return down.type === 'receipt' ? [] : [payload]
      },
    },
  },
  {
    clause: 'resend/again',
    what: 'answers no resend',
    fault: { messageDown: () => deafTo('resend') },
  },
  {
    clause: 'refused/never-again',
    what: 'sends a refused block again',
    fault: { store: emptyHanded },
  },
  {
    clause: 'session/unknown',
    what: 'takes no notice of f6',
    fault: { frameDown: () => (frame) => (frame[0] === 0xf6 ? [] : [frame]) },
  },
  {
    clause: 'attack/flipped-bit',
    what: 'checks no tag',
    fault: { crypto: tagless },
  },
  { clause: 'attack/replay', what: 'takes records twice', fault: { replays: true } },
  {
    clause: 'attack/future-receipt',
    what: 'believes a receipt for what it never sent',
    fault: {
      messageDown: (store) => (payload) => {
        const down = decodeDown(payload)
        if (down.type === 'receipt') store.dropThrough(down.durable)
        return [payload]
      },
    },
  },
  {
    clause: 'attack/message-4-wrong',
    what: 'goes on after a message_4 that is wrong',
    fault: { without4: 'wrong' },
  },
  {
    clause: 'attack/wrong-key',
    what: 'checks no signature in message_2',
    fault: { trust: credulous },
  },
  {
    clause: 'attack/untrusted',
    what: 'takes credentials of any authority',
    fault: { trust: (trust) => gullible(trust, anybody) },
  },
  {
    clause: 'attack/wrong-role',
    what: 'takes a meter for a node',
    fault: {
      trust: (trust) => gullible(trust, (encoded) => ({ ...trust.check(encoded), role: 'fog' })),
    },
  },
  {
    clause: 'attack/wrong-name',
    what: 'takes any node for its own',
    fault: {
      trust: (trust) =>
        gullible(trust, (encoded) => ({ ...trust.check(encoded), deviceId: 'fog-1' })),
    },
  },
  { clause: 'attack/expired', what: 'looks at no dates', fault: { now: () => null } },
  {
    clause: 'attack/revoked',
    what: 'takes no revocation list',
    fault: { ignoresRevocations: true },
  },
]
