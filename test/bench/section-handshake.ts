/**
 * CPU of a handshake, both sides together: ours, and TLS 1.3 with certificates on both sides, once
 * as node does it and once doing no more than EDHOC does.
 */
import { atMost, median, type Figure, type Run } from './figures.ts'
import type { Kind } from './handshakes.ts'
import { startWorker } from './worker.ts'

const perRound = 300
/** Rounds that only warm up compilers; a handshake is a lot of code. */
const warmUps = 4
const kinds: readonly Kind[] = ['tlsDefault', 'tlsPinned', 'tlsNew', 'fresh', 'again', 'primitives']
/** What EDHOC is held against. */
const comparators = {
  tlsDefault: 'TLS 1.3 by default',
  tlsPinned: 'TLS 1.3 pinned',
} as const
type Comparator = keyof typeof comparators
const goal = atMost(0.5, 'ratio')

/** Each kind in a process of its own, so that none collects the garbage of another. */
export async function handshakeSection(run: Run): Promise<Figure[]> {
  const count = run.quick ? 50 : perRound
  const workers = kinds.map((kind) => ({ kind, worker: startWorker('handshakes') }))
  const samples = Object.fromEntries(kinds.map((kind) => [kind, []])) as unknown as Samples
  try {
    for (const { kind, worker } of workers) await worker.ask('prepare', kind)
    for (let round = 1 - warmUps; round <= run.rounds; round++) {
      run.say(round < 1 ? 'warming up' : `round ${round} of ${run.rounds}`)
      for (const { kind, worker } of workers) {
        const us = await worker.ask<number>('run', count)
        if (round > 0) samples[kind].push(us)
      }
    }
  } finally {
    for (const { worker } of workers) await worker.stop()
  }
  return figures(samples)
}

type Samples = Record<Kind, number[]>

function figures(samples: Samples): Figure[] {
  const plain = (what: string, kind: Kind): Figure => {
    return { section: 'handshake', what, median: median(samples[kind]), unit: 'µs CPU' }
  }
  const against = (comparator: Comparator, what: string, kind: Kind): Figure => {
    const value = ratioOf(samples, kind, comparator)
    return { ...plain(what, kind), ratio: { value, of: comparators[comparator] } }
  }
  /** The project's goal speaks of a TLS 1.3 handshake; whose settings it means is left open. */
  const judged = (comparator: Comparator, what: string): Figure => {
    return { ...against(comparator, what, 'fresh'), goal }
  }
  return [
    plain(
      'TLS 1.3 by default, as node does it: ML-KEM hybrid, tickets; mutual Ed25519',
      'tlsDefault',
    ),
    plain('TLS 1.3 pinned to X25519, no tickets; mutual Ed25519', 'tlsPinned'),
    against(
      'tlsPinned',
      'the same, the client reading its PEM files for each connection',
      'tlsNew',
    ),
    against(
      'tlsDefault',
      'asymmetric primitives alone, by node:crypto: 4 verify, 2 sign, 2 + 2 X25519',
      'primitives',
    ),
    against('tlsPinned', 'asymmetric primitives alone, by node:crypto', 'primitives'),
    judged('tlsDefault', 'EDHOC handshake, credentials seen for the first time'),
    judged('tlsPinned', 'EDHOC handshake, credentials seen for the first time'),
    against('tlsDefault', 'EDHOC handshake of a meter that comes back', 'again'),
    against('tlsPinned', 'EDHOC handshake of a meter that comes back', 'again'),
  ]
}

/** Round by round, since what disturbs a round disturbs all kinds in it. */
function ratioOf(samples: Samples, kind: Kind, comparator: Comparator): number {
  return median(samples[kind].map((us, round) => us / (samples[comparator][round] ?? Number.NaN)))
}
