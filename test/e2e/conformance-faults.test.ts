import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAuthority, enrol, loadIdentity } from '#identity'
import { loadSigner } from '../../apps/conformance/impostors.ts'
import { runConformance } from '../../apps/conformance/run.ts'
import type { Result } from '../../apps/conformance/verdicts.ts'
import { faults } from '../support/faults.ts'
import { startFaultyMeter, type Fault } from '../support/faulty-meter.ts'

let folder: string
let number = 0
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'fogmeter-faults-'))
  createAuthority(join(folder, 'lab'))
  enrol(join(folder, 'lab'), 'fog', 'fog-1')
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Runs everything against a meter with this fault. */
async function judge(fault: Fault): Promise<Result[]> {
  const lab = join(folder, 'lab')
  const name = `meter-${++number}`
  const files = enrol(lab, 'meter', name)
  const at = (end: string) => join(lab, 'enrolled/fog-1', end)
  const paths = {
    key: at('fog-1.key'),
    credential: at('fog-1.cwt'),
    authority: at('authority.pub'),
  }
  let meter: ReturnType<typeof startFaultyMeter> | null = null
  try {
    return await runConformance({
      identity: loadIdentity(paths),
      signer: loadSigner(lab),
      listen: { host: '127.0.0.1', port: 0 },
      meter: name,
      only: null,
      waitMs: 15_000,
      quietMs: 2_000,
      onListening: (url) => {
        meter = startFaultyMeter(files, url, fault)
      },
      say: () => undefined,
      signal: new AbortController().signal,
    })
  } finally {
    await (meter as ReturnType<typeof startFaultyMeter> | null)?.close()
  }
}

const failing = (results: readonly Result[]) =>
  results.filter(({ result }) => result === 'fail').map(({ id, came }) => `${id}: ${came}`)

describe.concurrent('meters', () => {
  test('a sound one passes everything', async () => {
    const results = await judge({})
    expect(results.filter(({ result }) => result !== 'pass')).toEqual([])
  })

  test.each(faults)('one that $what is caught by $clause', async ({ clause, fault, also }) => {
    const failed = failing(await judge(fault)).filter((line) => !line.startsWith(`${also}: `))
    expect(failed).toEqual([expect.stringContaining(`${clause}: `)])
  })
})
