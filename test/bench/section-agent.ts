/** The agent with its broker, as processes, under meters that send as fast as receipts come. */
import { verify } from 'node:crypto'
import { join } from 'node:path'
import { nativeCrypto } from '#crypto-native'
import { publicKeyObject } from '#crypto-node'
import { statementToSign } from '#reading'
import { atLeast, median, type Figure, type Run } from './figures.ts'
import { blockReadings, homeDay, MeterSource, modes, type Mode } from './meter-source.ts'
import { meterName, personOf } from './people.ts'
import { cpuUsOf, ownCpuUs } from './proc.ts'
import { startFogNode, type FogNode } from './programs.ts'
import { startWorker, type Worker } from './worker.ts'

export const modeNames: Record<Mode, string> = {
  each: 'each reading signed',
  live: 'live, signature every 16',
  block: 'reports of 16',
}

/** What the agent's rates are held against. */
export const bareRate = "node:crypto's rate"

/** At least this much of (or this many times) what one core verifies when it does nothing else. */
const goals: Record<Mode, number> = { each: 0.75, live: 4, block: 8 }

/** Blocks a meter sends before it waits for a receipt; together they stay below the agent's limit. */
const windows: Record<Mode, number> = { each: 16, live: 4, block: 8 }
const meters = 200
/** Blocks per meter and round: about a second of work. */
const blocks: Record<Mode, number> = { each: 60, live: 12, block: 32 }
/** Rounds that only warm up compilers and caches. */
const warmUps = 2

interface Sample {
  /** µs of the agent's CPU, all its threads, per reading. */
  agentUs: number
  brokerUs: number
  perSecond: number
}

export async function agentSection(run: Run): Promise<Figure[]> {
  const { profile } = run
  const fog = await startFogNode({ dir: join(run.dir, 'agent'), agent: {}, profile })
  const fleet = startWorker('fleet')
  try {
    await fleet.ask('connect', { port: fog.port, meters, intervalS: 1 })
    const samples = await rounds(run, fog, fleet)
    return figures(samples)
  } finally {
    await fleet.stop()
    await fog.stop()
  }
}

type Samples = Record<Mode, (Sample & { bareUs: Bare })[]>

async function rounds(run: Run, fog: FogNode, fleet: Worker): Promise<Samples> {
  const bare = await verifiers()
  const samples: Samples = { each: [], live: [], block: [] }
  const scale = run.quick ? 0.25 : 1
  for (let round = 1 - warmUps; round <= run.rounds; round++) {
    run.say(round < 1 ? 'warming up' : `round ${round} of ${run.rounds}`)
    for (const mode of modes) {
      const count = Math.max(1, Math.round(blocks[mode] * scale))
      const before = bare()
      const sample = await measure(fog, fleet, mode, count)
      // Before and after: the machine may have other things to do as well.
      const bareUs = between(before, bare())
      if (round > 0) samples[mode].push({ ...sample, bareUs })
    }
  }
  return samples
}

const between = (a: Bare, b: Bare): Bare => ({
  node: (a.node + b.node) / 2,
  native: (a.native + b.native) / 2,
})

async function measure(
  { agent, broker }: FogNode,
  fleet: Worker,
  mode: Mode,
  blocksPerMeter: number,
): Promise<Sample> {
  if (agent === null) throw new Error('a fog node without agent')
  await fleet.ask('prepare', { mode, blocksPerMeter })
  const readingsBefore = await agent.metric('fogmeter_agent_readings_total')
  const [agentBefore, brokerBefore] = [cpuUsOf(agent.pid), cpuUsOf(broker.pid)]
  const { ms } = await fleet.ask<{ ms: number }>('run', windows[mode])
  const [agentAfter, brokerAfter] = [cpuUsOf(agent.pid), cpuUsOf(broker.pid)]
  const readings = (await agent.metric('fogmeter_agent_readings_total')) - readingsBefore
  const sent = meters * blocksPerMeter * blockReadings(mode)
  if (readings !== sent) throw new Error(`${sent} readings were sent, ${readings} committed`)
  return {
    agentUs: (agentAfter - agentBefore) / readings,
    brokerUs: (brokerAfter - brokerBefore) / readings,
    perSecond: (readings / ms) * 1_000,
  }
}

/** µs of CPU per check on one core: node:crypto's (OpenSSL), which is the yardstick, and our programs'. */
export type Bare = Record<'node' | 'native', number>

/**
 * Measures Ed25519 with prepared keys and nothing around it, on what the agent has to check: each
 * meter has its own key.
 */
export async function verifiers(): Promise<() => Bare> {
  const checks = Array.from({ length: meters }, (_, house) => {
    const own = personOf(meterName(house), 'meter')
    const { block } = new MeterSource(own, homeDay(house), { house, intervalS: 1 }).block('block')
    const key = publicKeyObject('ed25519', own.key.publicKey)
    const verifyKey = nativeCrypto.verifyKey(own.key.publicKey)
    return { key, verifyKey, message: statementToSign(block.statement), signature: block.signature }
  })
  type Check = (typeof checks)[number]
  const timed = (isGood: (check: Check) => boolean) => {
    const repeats = 10
    const before = ownCpuUs()
    for (let i = 0; i < repeats; i++) {
      if (!checks.every(isGood)) throw new Error('a bad signature')
    }
    return (ownCpuUs() - before) / (repeats * meters)
  }
  return () => ({
    node: timed(({ key, message, signature }) => verify(null, message, key, signature)),
    native: timed(({ verifyKey, message, signature }) => verifyKey.verify(message, signature)),
  })
}

function figures(byMode: Samples): Figure[] {
  const section = 'agent'
  const bare = modes.flatMap((mode) => byMode[mode].map(({ bareUs }) => bareUs))
  const result: Figure[] = [
    {
      section,
      what: 'bare Ed25519 verify of node:crypto, one core',
      median: median(bare.map(({ node }) => node)),
      unit: 'µs CPU',
    },
    {
      section,
      what: 'bare Ed25519 verify of libsodium, one core',
      median: median(bare.map(({ native }) => native)),
      unit: 'µs CPU',
      ratio: { value: median(bare.map(({ node, native }) => node / native)), of: bareRate },
    },
  ]
  for (const mode of modes) {
    const name = modeNames[mode]
    const samples = byMode[mode]
    const agentUs = median(samples.map((sample) => sample.agentUs))
    const ratios = samples.map((sample) => sample.bareUs.node / sample.agentUs)
    const perSecond = median(samples.map((sample) => sample.perSecond))
    result.push(
      {
        section,
        what: `agent's CPU per reading, ${name}`,
        median: agentUs,
        unit: 'µs CPU',
        ratio: { value: median(ratios), of: bareRate },
        goal: atLeast(goals[mode]),
      },
      {
        section,
        what: `broker's CPU per reading, ${name}`,
        median: median(samples.map((sample) => sample.brokerUs)),
        unit: 'µs CPU',
      },
      {
        section,
        what: `readings, ${name} (meters, broker and agent share the cores)`,
        median: perSecond,
        unit: '/s',
      },
    )
  }
  return result
}
