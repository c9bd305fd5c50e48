/** The inside of the agent in one process, without MQTT and with frames sealed ahead. */
import { join } from 'node:path'
import { availableParallelism } from 'node:os'
import { atLeast, median, type Figure, type Run } from './figures.ts'
import { modes, type Mode } from './meter-source.ts'
import { bareRate, modeNames, verifiers } from './section-agent.ts'
import { startWorker } from './worker.ts'

const meters = 200
const blocks: Record<Mode, number> = { each: 60, live: 12, block: 24 }
const signatures = 6_000

interface Sample {
  cpuUs: number
  perSecond: number
}

export async function coreSection(run: Run): Promise<Figure[]> {
  const core = startWorker('core')
  try {
    await core.ask('open', { dir: join(run.dir, 'core'), meters, workers: availableParallelism() })
    const verify = await verifiers()
    const samples: Record<Mode, Sample[]> = { each: [], live: [], block: [] }
    const verifyUs: number[] = []
    const pools: { one: number; two: number }[] = []
    for (let round = 0; round <= run.rounds; round++) {
      run.say(round === 0 ? 'warming up' : `round ${round} of ${run.rounds}`)
      const bare = verify().node
      const pool = await core.ask<{ one: number; two: number }>(
        'pools',
        run.quick ? signatures / 4 : signatures,
      )
      if (round > 0) {
        verifyUs.push(bare)
        pools.push(pool)
      }
      for (const mode of modes) {
        const blocksPerMeter = Math.ceil(blocks[mode] * (run.quick ? 0.25 : 1))
        const sample = await core.ask<Sample>('run', { mode, blocksPerMeter })
        if (round > 0) samples[mode].push(sample)
      }
    }
    return [...figures(samples, verifyUs), poolFigure(pools)]
  } finally {
    await core.stop()
  }
}

function figures(samples: Record<Mode, Sample[]>, verifyUs: readonly number[]): Figure[] {
  const section = 'core'
  return modes.flatMap((mode) => {
    const name = modeNames[mode]
    const ofMode = samples[mode]
    return [
      {
        section,
        what: `fog core without MQTT: CPU per reading, ${name}`,
        median: median(ofMode.map(({ cpuUs }) => cpuUs)),
        unit: 'µs CPU',
        ratio: {
          value: median(ofMode.map(({ cpuUs }, i) => (verifyUs[i] ?? Number.NaN) / cpuUs)),
          of: bareRate,
        },
      },
      {
        section,
        what: `fog core without MQTT: readings with both cores to itself, ${name}`,
        median: median(ofMode.map(({ perSecond }) => perSecond)),
        unit: '/s',
      },
    ]
  })
}

function poolFigure(pools: readonly { one: number; two: number }[]): Figure {
  return {
    section: 'core',
    what: 'signature checks with two verifying threads',
    median: median(pools.map(({ two }) => two)),
    unit: '/s',
    ratio: { value: median(pools.map(({ one, two }) => two / one)), of: 'one thread' },
    goal: atLeast(1.7),
  }
}
