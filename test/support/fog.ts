import { createCloud, type CloudStore } from '#cloud'
import { createTrust, decodeCredential, issueCredential, type Credential } from '#credential'
import type { Crypto } from '#crypto'
import { nodeCrypto } from '#crypto-node'
import {
  createFog,
  fogDefaults,
  inlineVerifier,
  type Fog,
  type FogSettings,
  type FogStore,
  type Verifier,
} from '#fog'
import { decodeDown, decodeItem, encodeUp, type Down, type Item, type Up } from '#messages'
import { buildBlock, encodeBlock, encodeLive, firstChain } from '#reading'
import type { Anchor, Block, Reading, SkippedRange } from '#reading'
import { memoryFogStore, newDisk, type MemoryDisk } from './fog-store.ts'

export const startS = 1_767_225_600
export const authority = nodeCrypto.signingKey(new Uint8Array(32).fill(9))

/** A clock that moves only when told to. */
export function virtualClock() {
  let ms = 0
  return {
    now: () => startS * 1000 + ms,
    monotonic: () => ms,
    advance: (by: number) => {
      ms += by
    },
  }
}

/** The cloud these meters' registers end up in: it trusts their authority, whatever the date. */
export function cloudBehind(store: CloudStore, clock: ReturnType<typeof virtualClock>) {
  const trust = createTrust({
    crypto: nodeCrypto,
    authorityKey: authority.publicKey,
    now: () => null,
  })
  return createCloud({ crypto: nodeCrypto, clock, store, trust })
}

export function meterCredential(name: string, id = 1, secret = id): Credential {
  return decodeCredential(
    issueCredential({
      authority,
      issuer: 'test',
      deviceId: name,
      role: 'meter',
      group: 'default',
      publicKey: nodeCrypto.signingKey(new Uint8Array(32).fill(secret)).publicKey,
      notBeforeS: startS - 1000,
      notAfterS: startS + 1_000_000_000,
      id: new Uint8Array(8).fill(id),
    }),
  )
}

/** A device that writes readings and signs blocks; what it sends is up to the test. */
export function simulatedMeter(name: string, id = 1) {
  const credential = meterCredential(name, id)
  const key = nodeCrypto.signingKey(new Uint8Array(32).fill(id))
  const state = {
    chain: firstChain(nodeCrypto, name),
    number: 1,
    last: null as Reading | null,
    blocks: [] as Block[],
  }
  function reading(change: Partial<Reading> = {}): Reading {
    const number = change.number ?? state.number
    const next: Reading = {
      number,
      timeS: startS + number * 10,
      powerW: 100 + (number % 7),
      voltageDv: number % 3 === 0 ? null : 2300 + (number % 5),
      currentMa: null,
      importWh: (state.last?.importWh ?? 1_000 * id) + (number % 4),
      exportWh: (state.last?.exportWh ?? 500) + (number % 2),
      status: 0,
      ...change,
    }
    state.last = next
    state.number = number + 1
    return next
  }
  /** Signs the next block of `count` readings, after `skip` numbers nobody used. */
  function block(count: number, skip = 0, change: Partial<Reading> = {}): Block {
    return sign(
      Array.from({ length: count }, () => change),
      skip,
    )
  }
  /** The same with a change for each reading, and an anchor for the last. */
  function sign(changes: readonly Partial<Reading>[], skip = 0, anchor?: Anchor): Block {
    const start = state.last
    const skipped: SkippedRange[] = skip > 0 ? [[state.number, state.number + skip - 1]] : []
    state.number += skip
    const made = buildBlock(nodeCrypto, key, {
      deviceId: name,
      previousChain: state.chain,
      startImportWh: start?.importWh ?? null,
      startExportWh: start?.exportWh ?? null,
      readings: changes.map((change) => reading(change)),
      skipped,
      anchor,
    })
    state.chain = made.statement.chain
    state.blocks.push(made)
    return made
  }
  return { name, credential, key, state, reading, block, sign }
}

export type SimulatedMeter = ReturnType<typeof simulatedMeter>

export const report = (block: Block): Up => ({ type: 'report', body: encodeBlock(block) })

/** The live messages of a block: the first reading in full, then differences, then the signature. */
export function liveMessages({ readings, statement, signature }: Block): Up[] {
  const { first, last, skipped, anchor } = statement
  const rest = anchor === undefined ? {} : { anchor }
  const messages: Up[] = []
  let previous: Reading | null = null
  for (const reading of readings) {
    if (previous === null) messages.push({ type: 'reading', reading })
    else messages.push({ type: 'live', values: encodeLive(previous, reading) })
    previous = reading
  }
  return [...messages, { type: 'block', first, last, skipped, signature, ...rest }]
}

/** Answers when told to, in the order told: signature checks as a test wants them. */
export function manualVerifier() {
  const inner = inlineVerifier(nodeCrypto)
  const waiting: (() => void)[] = []
  const verifier: Verifier = {
    verify: (publicKey, message, signature) =>
      new Promise((resolve, reject) => {
        waiting.push(() => void inner.verify(publicKey, message, signature).then(resolve, reject))
      }),
  }
  return {
    verifier,
    waiting,
    /** Lets one check finish; `index` counts from the oldest. */
    release: async (index = 0): Promise<void> => {
      waiting.splice(index, 1)[0]?.()
      await settled()
    },
    releaseAll: async (): Promise<void> => {
      for (const answer of waiting.splice(0)) answer()
      await settled()
    },
  }
}

/** After every promise that can settle has. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

export interface BenchOptions {
  disk?: MemoryDisk
  store?: FogStore
  verifier?: Verifier
  failing?: () => boolean
  settings?: Partial<FogSettings>
  clock?: ReturnType<typeof virtualClock>
  crypto?: Crypto
  /** Runs before a message to this channel leaves; what it throws, the link throws. */
  beforeSend?: (cid: string) => void
}

/** A fog node on the table: virtual time, memory disk, and every message it sent. */
export function fogBench(options: BenchOptions = {}) {
  const disk = options.disk ?? newDisk()
  const clock = options.clock ?? virtualClock()
  const sent: { cid: string; message: Down }[] = []
  const dropped: { cid: string; code: string }[] = []
  const unexpected: string[] = []
  const settings: FogSettings = {
    ...fogDefaults,
    statusMs: 0,
    receiptMs: 0,
    window: { ...fogDefaults.window, seconds: 60, graceSeconds: 0, idleSeconds: 180 },
    ...options.settings,
  }
  const fog: Fog = createFog({
    crypto: options.crypto ?? nodeCrypto,
    clock,
    store: options.store ?? memoryFogStore(disk, options.failing),
    verifier: options.verifier ?? inlineVerifier(nodeCrypto),
    link: {
      send: (cid, payload) => {
        options.beforeSend?.(cid)
        sent.push({ cid, message: decodeDown(payload) })
      },
      drop: (cid, code) => void dropped.push({ cid, code }),
    },
    settings,
    version: 'test',
    onUnexpected: (_error, deviceId) => void unexpected.push(deviceId),
  })
  return {
    fog,
    disk,
    clock,
    sent,
    dropped,
    /** Meters whose session a defect has cost. */
    unexpected,
    /** Messages sent to one channel since the last call. */
    take: (cid: string): Down[] => {
      const mine = sent.filter((entry) => entry.cid === cid).map(({ message }) => message)
      for (let i = sent.length - 1; i >= 0; i--) if (sent[i]?.cid === cid) sent.splice(i, 1)
      return mine
    },
    up: (cid: string, ...messages: Up[]) => {
      for (const message of messages) void fog.receive(cid, encodeUp(message))
    },
    hello: (cid: string, meter: SimulatedMeter, oldestHeld = 1) => {
      fog.open(cid, meter.credential)
      const next = Math.max(meter.state.number, oldestHeld)
      void fog.receive(cid, encodeUp({ type: 'hello', oldestHeld, next }))
    },
    /** Lets checks finish and the commit happen. */
    commit: async () => {
      await settled()
      clock.advance(settings.commit.maxWaitMs)
      fog.tick()
    },
    items: (): Item[] => [...disk.items.values()].map(decodeItem),
  }
}
