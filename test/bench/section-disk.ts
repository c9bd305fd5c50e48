/** What 1000 meters cost the fog node: bytes written to its disk, and memory. */
import { join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import { atMost, type Figure, type Run } from './figures.ts'
import { rssOf, writtenBytesOf } from './proc.ts'
import { startFogNode, type FogNode, type Program } from './programs.ts'
import { startWorker } from './worker.ts'

const meters = 1_000
/**
 * Each meter measures once a second. Five such seconds pass in one, and the commit interval is a
 * fifth of its default, so that every commit holds what it would hold in real time.
 */
const speed = 5
const commitIntervalMs = 10
const blocksPerMeter = { quick: 2, full: 12 }

export async function diskSection(run: Run): Promise<Figure[]> {
  const dir = join(run.dir, 'disk')
  const fog = await startFogNode({ dir, agent: { commitIntervalMs }, profile: run.profile })
  const fleet = startWorker('fleet')
  try {
    run.say(`${meters} meters shake hands`)
    await fleet.ask('connect', { port: fog.port, meters, intervalS: 1 })
    const blocks = run.quick ? blocksPerMeter.quick : blocksPerMeter.full
    await fleet.ask('prepare', { mode: 'block', blocksPerMeter: blocks })
    run.say(`${blocks * 16} readings of each, ${speed} s of them a second`)
    const { bytes, readings } = await writtenDuring(fog, join(dir, 'fog.db'), () =>
      fleet.ask('pace', (meters / 16) * speed),
    )
    return [perReading(bytes / readings), ...memory(fog)]
  } finally {
    await fleet.stop()
    await fog.stop()
  }
}

function perReading(bytes: number): Figure {
  return {
    section: 'disk',
    what: 'written to disk per reading, 1000 meters at one reading a second, blocks of 16',
    median: bytes,
    unit: 'B',
    goal: atMost(130),
  }
}

function agentOf({ agent }: FogNode): Program {
  if (agent === null) throw new Error('a fog node without agent')
  return agent
}

/**
 * The bytes of a load. SQLite writes everything twice, first to its log and at some time into the
 * file: the log is emptied from here before and after, and what that writes belongs to the load.
 */
async function writtenDuring(fog: FogNode, store: string, work: () => Promise<unknown>) {
  const agent = agentOf(fog)
  emptyLog(store)
  const bytesBefore = writtenBytesOf(agent.pid)
  const readingsBefore = await agent.metric('fogmeter_agent_readings_total')
  await work()
  const own = writtenBytesOf(process.pid)
  emptyLog(store)
  const checkpoint = writtenBytesOf(process.pid) - own
  const readings = (await agent.metric('fogmeter_agent_readings_total')) - readingsBefore
  return { bytes: writtenBytesOf(agent.pid) - bytesBefore + checkpoint, readings }
}

function emptyLog(store: string): void {
  const database = new BetterSqlite3(store)
  database.pragma('wal_checkpoint(TRUNCATE)')
  database.close()
}

function memory({ agent, broker }: FogNode): Figure[] {
  return [...(agent ? [memoryOf('agent', agent)] : []), memoryOf('broker', broker)]
}

function memoryOf(what: string, program: Program): Figure {
  return {
    section: 'disk',
    what: `memory of the ${what} with 1000 meters in session, after that`,
    median: rssOf(program.pid) / 2 ** 20,
    unit: 'MiB',
  }
}
