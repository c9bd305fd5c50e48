import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, openSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CodedError } from '#errors'
import { prepareCluster, startOne, stopCluster, type Cluster } from '../../../apps/demo/cluster.ts'
import { waitUntilUp, type ProcessSpec } from '../../../apps/demo/processes.ts'
import { parseTrace, tracedCalls, type Op } from './trace.ts'

const cli = fileURLToPath(new URL('../../../apps/cli/main.ts', import.meta.url))
const hooks = fileURLToPath(new URL('hooks.ts', import.meta.url))

/** What one program did to its store. */
export interface Recording {
  program: 'agent' | 'cloud' | 'meter'
  /** Path of the store as it stands in `ops`. */
  store: string
  ops: Op[]
}

/** Everything recorded; `dir` is the caller's to remove. */
export interface Session {
  dir: string
  cluster: Cluster
  recordings: Recording[]
}

/** strace is there and may trace. */
export function canTrace(): boolean {
  try {
    execFileSync('strace', ['-f', '--seccomp-bpf', '-o', '/dev/null', 'true'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/**
 * Runs a cloud, a fog node and two meters for a while, three of the programs under strace, and ends
 * them all at once, the way a power cut would. `unsafe` lets their stores commit at NORMAL.
 */
export async function record(options: { seconds: number; unsafe: boolean }): Promise<Session> {
  const dir = mkdtempSync(join(tmpdir(), 'fogmeter-powercut-'))
  const cluster = await prepareCluster({
    dir,
    fogs: 1,
    meters: 2,
    source: 'kind = "replay"\nhouse = {index}\ninterval_seconds = 60\ntime_scale = 1800',
    block: 'readings = 4\nseconds = 60',
    window: 'idle_seconds = 3\nrevision_delay_ms = 200',
  })
  const traced = [
    { name: 'cloud', program: 'cloud', store: cluster.cloudStore },
    { name: 'fog-1-agent', program: 'agent', store: cluster.fogs[0]?.store ?? '' },
    { name: 'meter-01', program: 'meter', store: cluster.meters[0]?.store ?? '' },
  ] as const
  try {
    for (const tier of ['broker', 'cloud', 'agent', 'meter']) {
      const specs = cluster.specs.filter(({ program }) => program === tier)
      for (const spec of specs) {
        const running = traced.some(({ name }) => name === spec.name)
          ? startTraced(cluster, spec, dir, options.unsafe)
          : startOne(cluster, spec, () => undefined)
        await waitUntilUp(running)
      }
    }
    await new Promise((resolve) => setTimeout(resolve, options.seconds * 1_000))
  } finally {
    await killAll(cluster)
  }
  for (const { name } of traced) await traceEnded(traceOf(dir, name))
  const recordings = traced.map(({ name, program, store }) => {
    const text = readFileSync(traceOf(dir, name), 'latin1')
    const ops = parseTrace(text, join(dir, 'state')).filter((op) => concerns(op, store))
    return { program, store, ops }
  })
  return { dir, cluster, recordings }
}

/** The store, its WAL, its folder and the marks; not what programs keep beside it. */
function concerns(op: Op, store: string): boolean {
  if (op.type === 'mark') return true
  const folder = store.slice(0, store.lastIndexOf('/'))
  return ['', '-wal', '-journal'].some((end) => op.path === store + end) || op.path === folder
}

/** strace outlives the program it traces by a moment, in which it writes down the end. */
async function traceEnded(path: string): Promise<void> {
  const deadline = performance.now() + 30_000
  while (performance.now() < deadline) {
    const lines = readFileSync(path, 'latin1').trimEnd().split('\n')
    const [pid] = (lines[0] ?? '').split(' ')
    if (
      lines.some((line) => line.startsWith(`${pid} `) && line.endsWith('+++ killed by SIGKILL +++'))
    )
      return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new CodedError('powercut/trace', `${path} does not end`)
}

const traceOf = (dir: string, name: string) => join(dir, 'log', `${name}.trace`)

/** As a grandchild (-D), strace leaves our child's pid to the program itself. */
function startTraced(cluster: Cluster, spec: ProcessSpec, dir: string, unsafe: boolean) {
  const log = openSync(spec.log, 'a', 0o600)
  const strace = ['-D', '-f', '--seccomp-bpf', '-ttt', '-xx', '-y', '-s', String(2 ** 24)]
  const program = [
    process.execPath,
    '--import',
    hooks,
    cli,
    spec.program,
    'run',
    '--config',
    spec.config,
  ]
  const child = spawn(
    'strace',
    [...strace, '-e', `trace=${tracedCalls}`, '-o', traceOf(dir, spec.name), ...program],
    {
      stdio: ['ignore', log, log],
      env: {
        ...process.env,
        FOGMETER_POWERCUT_MARKS: join(dir, 'state', `${spec.name}.marks`),
        ...(unsafe && { FOGMETER_POWERCUT_NORMAL: '1' }),
      },
    },
  )
  const running = { spec, child, ending: false }
  cluster.running.set(spec.name, running)
  return running
}

async function killAll(cluster: Cluster): Promise<void> {
  const children = [...cluster.running.values()].map((running) => {
    running.ending = true
    return running.child
  })
  await Promise.all(children.map(kill))
  await stopCluster(cluster)
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}
