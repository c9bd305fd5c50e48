import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createAuthority, enrol, loadIdentity, type EnrolmentPaths } from '#identity'
import { loadSigner } from '../../apps/conformance/impostors.ts'
import { runConformance } from '../../apps/conformance/run.ts'
import type { Result } from '../../apps/conformance/verdicts.ts'

export interface Trial {
  /** Starts what is judged, with the files of a meter of its own; ends it afterwards. */
  start(url: string, files: EnrolmentPaths): { close(): Promise<void> }
  only?: readonly string[]
  waitMs?: number
}

/** An authority for testing with a node to play, and runs against meters of its own. */
export function createLab() {
  const folder = mkdtempSync(join(tmpdir(), 'fogmeter-lab-'))
  const authority = join(folder, 'lab')
  createAuthority(authority)
  const node = enrol(authority, 'fog', 'fog-1', { out: join(folder, 'node') })
  const signer = loadSigner(authority)
  let meters = 0

  async function judge(trial: Trial): Promise<Result[]> {
    const { only, waitMs = 30_000 } = trial
    const name = `meter-${++meters}`
    const files = enrol(authority, 'meter', name)
    const judged: { close(): Promise<void> }[] = []
    try {
      return await runConformance({
        identity: loadIdentity({ ...node, key: node.key ?? '' }),
        signer,
        listen: { host: '127.0.0.1', port: 0 },
        meter: name,
        only: only === undefined ? null : new Set(only),
        waitMs,
        quietMs: 2_000,
        onListening: (url) => judged.push(trial.start(url, files)),
        say: () => undefined,
        signal: new AbortController().signal,
      })
    } finally {
      for (const one of judged) await one.close()
    }
  }

  return {
    folder,
    authority,
    judge,
    close: () => rmSync(folder, { recursive: true, force: true }),
  }
}

/** At most `most` of `work` at the same time, in order; each result by itself. */
export function pooled<T, R>(
  most: number,
  all: readonly T[],
  work: (one: T) => Promise<R>,
): Promise<R>[] {
  const waiting = all.map((one) => ({ one, ...Promise.withResolvers<R>() }))
  const queue = [...waiting]
  const next = async (): Promise<void> => {
    const job = queue.shift()
    if (job === undefined) return
    await work(job.one).then(job.resolve, job.reject)
    return next()
  }
  for (let lane = 0; lane < most; lane++) void next()
  return waiting.map(({ promise }) => promise)
}
