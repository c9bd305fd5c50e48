/** The broker alone: CPU per message beside Aedes without rules, and memory per idle connection. */
import { join } from 'node:path'
import { atMost, median, type Figure, type Run } from './figures.ts'
import { node } from './people.ts'
import { cpuUsOf, rssOf } from './proc.ts'
import { startFogNode } from './programs.ts'
import { startWorker, type Worker } from './worker.ts'

const clients = 200
const messagesPerClient = 150
const idle = 2_000

/** A broker to put load on: how to reach it, and whose CPU to look at. */
interface Target {
  pid: number
  port: number
  socket: string
}

export async function brokerSection(run: Run): Promise<Figure[]> {
  const fog = await startFogNode({ dir: join(run.dir, 'broker'), profile: run.profile })
  const bare = startWorker('aedes')
  try {
    const socket = join(run.dir, 'aedes.sock')
    const { port } = await bare.ask<{ port: number }>('listen', { socket })
    const ours = { pid: fog.broker.pid, port: fog.port, socket: fog.socket }
    const cpu = await cpuFigures(run, ours, { pid: bare.pid, port, socket })
    return [...cpu, ...(await idleFigures(run))]
  } finally {
    await bare.stop()
    await fog.stop()
  }
}

async function cpuFigures(run: Run, ours: Target, bare: Target): Promise<Figure[]> {
  const [toOurs, toBare] = [startWorker('publishers'), startWorker('publishers')]
  const count = run.quick ? messagesPerClient / 5 : messagesPerClient
  const samples = { ours: [] as number[], bare: [] as number[] }
  try {
    await toOurs.ask('connect', { ...ours, node, clients, listen: true })
    await toBare.ask('connect', { ...bare, node, clients, listen: true })
    for (let round = 0; round <= run.rounds; round++) {
      run.say(round === 0 ? 'warming up' : `round ${round} of ${run.rounds}`)
      const [oursUs, bareUs] = [
        await cpuPerMessage(toOurs, ours, count),
        await cpuPerMessage(toBare, bare, count),
      ]
      if (round === 0) continue
      samples.ours.push(oursUs)
      samples.bare.push(bareUs)
    }
  } finally {
    await toOurs.stop()
    await toBare.stop()
  }
  const base = { section: 'broker', unit: 'µs CPU' }
  const ratios = samples.ours.map((us, round) => us / (samples.bare[round] ?? us))
  return [
    {
      ...base,
      what: 'bare Aedes, a QoS 0 message of 47 B from 200 clients to one subscriber',
      median: median(samples.bare),
    },
    {
      ...base,
      what: 'our broker, the same messages',
      median: median(samples.ours),
      ratio: { value: median(ratios), of: 'bare Aedes' },
    },
  ]
}

async function cpuPerMessage(worker: Worker, target: Target, count: number): Promise<number> {
  const before = cpuUsOf(target.pid)
  const messages = await worker.ask<number>('send', count)
  return (cpuUsOf(target.pid) - before) / messages
}

/** A broker that has done nothing yet, then with connections that do nothing. */
async function idleFigures(run: Run): Promise<Figure[]> {
  const count = run.quick ? idle / 2 : idle
  run.say(`${count} idle connections`)
  const fog = await startFogNode({ dir: join(run.dir, 'idle') })
  const publishers = startWorker('publishers')
  try {
    const { broker, port, socket } = fog
    const target = { pid: broker.pid, port, socket }
    await publishers.ask('connect', { ...target, node, clients: 0, listen: true })
    await settle()
    const before = rssOf(broker.pid)
    await publishers.ask('connect', { ...target, node, clients: count, listen: false })
    await settle()
    const kiB = (rssOf(broker.pid) - before) / count / 1_024
    return [
      {
        section: 'broker',
        what: `memory of the broker per idle admitted connection (${count} of them)`,
        median: kiB,
        unit: 'KiB',
        goal: atMost(30),
      },
    ]
  } finally {
    await publishers.stop()
    await fog.stop()
  }
}

/** Long enough for timers and collections that follow a burst of connections. */
const settle = () => new Promise((resolve) => setTimeout(resolve, 2_000))
