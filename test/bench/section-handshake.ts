/** CPU of a handshake, both sides together: ours, and TLS 1.3 with certificates on both sides. */
import { atMost, median, type Figure, type Run } from './figures.ts'
import type { Kind } from './handshakes.ts'
import { startWorker } from './worker.ts'

const perRound = 300
/** Rounds that only warm up compilers; a handshake is a lot of code. */
const warmUps = 4
const of = 'TLS 1.3 handshake'
const kinds: readonly Kind[] = ['tls', 'tlsNew', 'tlsDefault', 'fresh', 'again']

/** Each kind in a process of its own, so that none collects the garbage of another. */
export async function handshakeSection(run: Run): Promise<Figure[]> {
  const count = run.quick ? 50 : perRound
  const workers = kinds.map((kind) => ({ kind, worker: startWorker('handshakes') }))
  const samples: Record<Kind, number[]> = {
    tls: [],
    tlsNew: [],
    tlsDefault: [],
    fresh: [],
    again: [],
  }
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

function figures(samples: Record<Kind, number[]>): Figure[] {
  const figure = (what: string, kind: Kind): Figure => {
    const ratios = samples[kind].map((us, round) => us / (samples.tls[round] ?? us))
    const base = { section: 'handshake', what, median: median(samples[kind]), unit: 'µs CPU' }
    return kind === 'tls' ? base : { ...base, ratio: { value: median(ratios), of } }
  }
  return [
    figure('TLS 1.3 handshake, X25519, Ed25519 certificates on both sides, both sides', 'tls'),
    figure('the same, the client reading its PEM files for each connection', 'tlsNew'),
    figure('the same as node does it by default, with ML-KEM and session tickets', 'tlsDefault'),
    {
      ...figure('EDHOC handshake, credentials seen for the first time, both sides', 'fresh'),
      goal: atMost(0.5, 'ratio'),
    },
    figure('EDHOC handshake of a meter that comes back, both sides', 'again'),
  ]
}
