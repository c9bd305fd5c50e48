import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { account } from '../../apps/demo/account.ts'
import {
  prepareCluster,
  startCluster,
  startOne,
  stopCluster,
  stopTier,
  type Cluster,
} from '../../apps/demo/cluster.ts'
import { waitUntilDrained } from '../../apps/demo/drain.ts'
import { waitUntilUp } from '../../apps/demo/processes.ts'
import { byLabel, scrape, total } from '../../apps/demo/scrape.ts'
import { flipBit, outboxRows, typeOf } from '../support/damaged-outbox.ts'
import { groundTruth } from '../support/ground-truth.ts'

/** One simulated day takes two seconds: quarter-hourly readings at 43,200 times their speed. */
const source = 'kind = "replay"\nhouse = {index}\ninterval_seconds = 900\ntime_scale = 43200'

/** The types of the items whose bytes one bit is flipped in. */
const flipped = ['summary', 'register'] as const

async function agentSeries(cluster: Cluster) {
  const agent = cluster.specs.find(({ program }) => program === 'agent')
  return scrape(agent?.port ?? 0)
}

/** Asks again until `enough` holds; the test's own time limit bounds it. */
async function until(enough: () => Promise<boolean>): Promise<void> {
  while (!(await enough())) await new Promise((resolve) => setTimeout(resolve, 100))
}

async function damageTold({ httpPort }: Cluster): Promise<string[]> {
  const response = await fetch(`http://127.0.0.1:${httpPort}/api/v1/events?code=item-damaged`)
  return ((await response.json()) as { items: { detail: string }[] }).items.map(
    ({ detail }) => detail,
  )
}

const patience = { timeout: 120_000 }

it(
  'an agent whose outbox was damaged while it was down goes on, and nothing is missing',
  patience,
  async () => {
    const dir = mkdtempSync(join(tmpdir(), 'fogmeter-damaged-'))
    const cluster = await prepareCluster({
      dir,
      fogs: 1,
      meters: 2,
      source,
      block: 'readings = 16\nseconds = 60\nboundary_seconds = 14400',
      window: 'idle_seconds = 3\nrevision_delay_ms = 500',
    })
    const store = cluster.fogs[0]?.store ?? ''
    const accidents: string[] = []
    const start = async (program: 'cloud' | 'agent') => {
      const spec = cluster.specs.find((candidate) => candidate.program === program)
      if (spec) await waitUntilUp(startOne(cluster, spec, ({ name }) => void accidents.push(name)))
    }
    try {
      await startCluster(cluster, ({ name }) => void accidents.push(name))
      await stopTier(cluster, 'cloud')
      const items = async () => total([await agentSeries(cluster)], 'fogmeter_agent_outbox_items')
      await until(async () => (await items()) >= 96)
      await stopTier(cluster, 'agent')
      const rows = outboxRows(store)
      for (const type of flipped) {
        const row = rows.find((candidate) => typeOf(candidate) === type)!
        flipBit(store, row, 8 * Math.floor(row.body.length / 2))
      }
      await start('agent')
      await start('cloud')
      // At this speed a meter on a busy machine always holds something: it delivers when told to stop.
      await stopTier(cluster, 'meter', 60_000)
      await waitUntilDrained(cluster)
      const outcomes = byLabel([await agentSeries(cluster)], 'fogmeter_agent_outbox_damaged_total')
      expect(Object.fromEntries(outcomes)).toEqual({ made_again: flipped.length })
      expect((await damageTold(cluster)).toSorted()).toEqual([
        expect.stringMatching(
          /^outbox item \d+, a register of meter-\d+ up to reading \d+, was damaged/,
        ),
        expect.stringMatching(/^outbox item \d+, a summary of the window from \d+, was damaged/),
      ])
      const { log = '' } = cluster.specs.find(({ program }) => program === 'agent') ?? {}
      expect(readFileSync(log, 'utf8').match(/"code":"fog\/item-damaged"/g)).toHaveLength(
        flipped.length,
      )
      await stopCluster(cluster)
      const result = account(cluster)
      expect([...result.problems, ...(await groundTruth(cluster)), ...accidents]).toEqual([])
      expect(result).toMatchObject({ lost: 0, duplicated: 0, accounted: result.sent })
    } finally {
      await stopCluster(cluster)
      rmSync(dir, { recursive: true, force: true })
    }
  },
)
