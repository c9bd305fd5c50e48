import type { CloudTx } from '#cloud'
import type { MeterStore } from '#meter'
import type { FogStore } from '#fog'
import { decodeDown, decodeItem, encodeDown, encodeItem } from '#messages'
import {
  decodeHead,
  decodeRecord,
  encodeHead,
  encodeRecord,
  type OpenRecord,
} from '../../libs/meter/record.ts'
import type { Disk } from './disk.ts'
import type { Mutation } from './mutation.ts'

/** Every planted bug. None of them is in the product: each is a dependency that breaks its promise. */
export const mutations: readonly Mutation[] = [
  {
    name: 'ack-before-commit',
    about: 'the fog node answers before its commit is on disk',
    fogStore: (store, disk) => ({ ...store, commit: (commit) => lazily(disk, store, commit) }),
  },
  {
    name: 'window-not-persisted',
    about: 'a checkpoint leaves out the windows that changed',
    fogStore: (store) => ({
      ...store,
      checkpoint: (point) =>
        store.checkpoint({ ...point, windows: { rows: [], removed: point.windows.removed } }),
    }),
  },
  {
    name: 'receipt-wrong-session',
    about: 'a receipt goes to another open session, now and then',
    meterLink: (link, channels, chance) => ({
      ...link,
      send(cid, payload) {
        const others = [...channels].filter((other) => other !== cid)
        const receipt = decodeDown(payload).type === 'receipt'
        const wrong = receipt && others.length > 0 && chance.happens(0.3)
        link.send(wrong ? chance.pick(others) : cid, payload)
      },
    }),
  },
  {
    name: 'receipt-too-far',
    about: 'a receipt names the number after the last durable one',
    meterLink: (link) => ({
      ...link,
      send(cid, payload) {
        const down = decodeDown(payload)
        const { type } = down
        link.send(
          cid,
          type === 'receipt' ? encodeDown({ type, durable: down.durable + 1 }) : payload,
        )
      },
    }),
  },
  {
    name: 'good-block-refused',
    about: 'a fog node answers a good block with a refusal, now and then',
    meterLink(link, _channels, chance) {
      const durable = new Map<string, number>()
      return {
        ...link,
        send(cid, payload) {
          const down = decodeDown(payload)
          const first = (durable.get(cid) ?? Infinity) + 1
          if (down.type === 'receipt') durable.set(cid, down.durable)
          const refuses = down.type === 'receipt' && first <= down.durable && chance.happens(0.1)
          link.send(cid, refuses ? refusal(first, down.durable) : payload)
        },
      }
    },
  },
  {
    name: 'register-memory-lost',
    about: 'after a restart a meter takes it that its physical registers were at 0',
    meterStore: (store) => ({ ...store, load: () => fromZero(store) }),
  },
  {
    name: 'double-count-on-revision',
    about: 'the cloud adds a revision to its totals and keeps the one before in them',
    cloudTx: (tx) => ({ ...tx, latestSummary: (fog, startS) => olderOnly(tx, fog, startS) }),
  },
  {
    name: 'number-reuse-after-restart',
    about: 'a meter forgets its unsigned readings at a restart and gives their numbers again',
    meterStore: (store) => ({ ...store, load: () => forgetful(store) }),
  },
  {
    name: 'nonce-reuse',
    about: 'the counter of a sealing key stands still once in a while',
    crypto: (crypto) => ({
      ...crypto,
      aead(key) {
        const inner = crypto.aead(key)
        let seals = 0
        let last = new Uint8Array(12)
        return {
          open: (nonce, aad, text) => inner.open(nonce, aad, text),
          seal(next, aad, plaintext) {
            if (++seals % 50 !== 0) last = next.slice()
            return inner.seal(last, aad, plaintext)
          },
        }
      },
    }),
  },
  {
    name: 'no-replay-window',
    about: 'a record that comes twice is opened twice',
    responder(responder) {
      const opened = new Map<string, ReturnType<typeof responder.receive>>()
      return {
        receive(cid, frame) {
          const key = cid + String.fromCharCode(...frame)
          const outputs = responder.receive(cid, frame)
          if (outputs[0]?.type === 'message') opened.set(key, outputs)
          return outputs.length > 0 ? outputs : (opened.get(key) ?? outputs)
        },
        send: (cid, payload) => responder.send(cid, payload),
        tick: () => responder.tick(),
        drop: (cid, code) => responder.drop(cid, code),
        dropDevice: (deviceId, code) => responder.dropDevice(deviceId, code),
        recheck: () => responder.recheck(),
        peerOf: (cid) => responder.peerOf(cid),
        channelsOf: (deviceId) => responder.channelsOf(deviceId),
        counters: () => responder.counters(),
      }
    },
  },
  {
    name: 'outbox-number-reuse',
    about: 'after a restart the outbox numbers on from how many items it holds',
    fogStore(store, disk) {
      const next = disk.rows('outbox').size + 1
      if (disk.get('meta', 'next') !== undefined) disk.set('meta', 'next', { value: next })
      return store
    },
  },
  {
    name: 'given-up-forgotten',
    about: 'what had to make room in the outbox is never sent again',
    fogStore: (store) => ({ ...store, backlog: () => ({ ...store.backlog(), lostFromS: null }) }),
  },
  {
    name: 'revision-not-incremented',
    about: 'a late reading makes its window anew under the revision it had',
    fogStore: (store) => ({
      ...store,
      checkpoint: (point) => store.checkpoint({ ...point, items: point.items.map(firstRevision) }),
    }),
  },
  {
    name: 'register-of-another-meter',
    about: 'the cloud files a register under the meter it stored before',
    cloudTx(tx) {
      let before: string | null = null
      return {
        ...tx,
        addRegister(entry) {
          const { deviceId } = entry.statement
          const statement = { ...entry.statement, deviceId: before ?? deviceId }
          before = deviceId
          tx.addRegister({ ...entry, statement })
        },
      }
    },
  },
  {
    name: 'replay-skips-a-group',
    about: 'a restart begins its replay one group of blocks too late',
    fogStore: (store) => ({ ...store, groupsAfter: (id, max) => store.groupsAfter(id + 1, max) }),
  },
]

function lazily(disk: Disk, store: FogStore, commit: Parameters<FogStore['commit']>[0]): number {
  disk.lazy = true
  try {
    return store.commit(commit)
  } finally {
    disk.lazy = false
  }
}

function olderOnly(tx: CloudTx, fog: string, startS: number) {
  const latest = tx.latestSummary(fog, startS)
  // The new revision still counts as the latest; only what it replaces is forgotten.
  return latest !== null && latest.revision > 0 ? null : latest
}

function forgetful(store: MeterStore): ReturnType<MeterStore['load']> {
  const { head, next } = store.load()
  return { head, open: [], next }
}

function refusal(first: number, last: number): Uint8Array {
  return encodeDown({ type: 'refused', first, last, code: 'reading/malformed' })
}

function fromZero(store: MeterStore): ReturnType<MeterStore['load']> {
  const { head, open, next } = store.load()
  if (head === null) return { head, open, next }
  const { newest, ...rest } = decodeHead(head)
  return {
    head: encodeHead({ ...rest, newest: newest && zeroed(newest) }),
    open: open.map((record) => encodeRecord(zeroed(decodeRecord(record)))),
    next,
  }
}

function zeroed(record: OpenRecord): OpenRecord {
  const { memory } = record
  if (memory.rawImportWh === null) return record
  return { ...record, memory: { ...memory, rawImportWh: 0 } }
}

function firstRevision(body: Uint8Array): Uint8Array {
  const item = decodeItem(body)
  if (item.type !== 'summary') return body
  return encodeItem({ type: 'summary', summary: { ...item.summary, revision: 0 } })
}
