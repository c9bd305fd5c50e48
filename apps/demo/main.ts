/** `npm start`: a cloud, fog nodes and meters as real processes on this machine. See README.md. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { CodedError } from '#errors'
import { account, type Account } from './account.ts'
import { metersEnded, prepareCluster, startCluster, stopCluster, type Cluster } from './cluster.ts'
import { waitUntilDrained } from './drain.ts'
import { startView } from './view.ts'

interface Options {
  seconds?: number
  json: boolean
  fogs: number
  meters: number
  speed: number
  dir?: string
}

/** `interrupted` is for a run whose verdict was asked for and never came. */
const exitCodes = { ok: 0, failed: 1, interrupted: 130 } as const

/** Reading time is compressed; the agent's patience, which runs on the wall clock, shrinks with it. */
function settings({ speed }: Options): { source: string; block: string; window: string } {
  // One beginning for all, so that separate processes share one compressed timeline.
  const start = `${new Date().toISOString().slice(0, 16)}:00Z`
  return {
    source: `kind = "replay"\nhouse = {index}\nstart = "${start}"\ninterval_seconds = 60\ntime_scale = ${speed}`,
    block: 'readings = 16\nseconds = 60',
    window: 'idle_seconds = 3\nrevision_delay_ms = 1000',
  }
}

function say(line: string): void {
  process.stderr.write(`${line}\n`)
}

async function main(options: Options): Promise<number> {
  const stop = stopRequest()
  const dir = options.dir ?? mkdtempSync(join(tmpdir(), 'fogmeter-'))
  const cluster = await prepareCluster({
    dir,
    ...settings(options),
    fogs: options.fogs,
    meters: options.meters,
    ...(options.seconds !== undefined && { stopAfterSeconds: options.seconds }),
    httpPort: 8080,
  })
  let exitCode: number = exitCodes.failed
  try {
    exitCode = await run(cluster, stop, options)
    return exitCode
  } finally {
    await stopCluster(cluster)
    // What went wrong can be found out from the files only.
    if (exitCode === exitCodes.failed) say(`the files and logs are still in ${dir}`)
    else if (options.dir === undefined) rmSync(dir, { recursive: true, force: true })
  }
}

/** Start, watch, settle: each phase ends early when a stop is requested. */
async function run(cluster: Cluster, stop: StopRequest, options: Options): Promise<number> {
  const started = startCluster(
    cluster,
    ({ name, log }, code) =>
      stop.accident(`${name} ended by itself (${code ?? 'killed'}); its log is ${log}`),
    (up) => say(`${up} of ${cluster.specs.length} processes are up`),
  )
  let end = await Promise.race([started, stop.requested])
  if (end === undefined) {
    const view = startView(cluster, { live: process.stderr.isTTY && !options.json })
    end = await Promise.race([measured(cluster, options), stop.requested])
    view.stop()
  }
  end ??= await Promise.race([settle(cluster), stop.requested])
  if (end === undefined) {
    await stopCluster(cluster)
    return report(account(cluster), options.json)
  }
  if (end !== 'signal') throw new CodedError('demo/process-ended', end.accident)
  say('stopping everything')
  return options.seconds === undefined ? exitCodes.ok : exitCodes.interrupted
}

/**
 * Meters end by themselves when their fog node has everything, however long that takes on a busy
 * machine. Without `seconds`, never.
 */
function measured(cluster: Cluster, { seconds }: Options): Promise<void> {
  return seconds === undefined ? new Promise(() => undefined) : metersEnded(cluster)
}

/** What the meters delivered goes on to the cloud, window by window. */
async function settle(cluster: Cluster): Promise<void> {
  say('the meters have delivered everything and ended; closing the last windows')
  await waitUntilDrained(cluster)
}

function report(result: Account, json: boolean): number {
  const { problems, ...figures } = result
  for (const problem of problems) say(problem)
  const ok = problems.length === 0 && result.lost === 0 && result.duplicated === 0
  if (json) process.stdout.write(`${JSON.stringify(figures)}\n`)
  else say(ok ? `all ${figures.accounted} readings are accounted for` : 'the account is not clean')
  return ok ? 0 : 1
}

interface StopRequest {
  requested: Promise<'signal' | { accident: string }>
  accident: (message: string) => void
}

/** Ctrl-C once or often, SIGTERM, or the end of the terminal: the programs end with us. */
function stopRequest(): StopRequest {
  const { promise, resolve } = Promise.withResolvers<'signal' | { accident: string }>()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => resolve('signal'))
  if (process.env['npm_lifecycle_event'] === 'start') whenOrphaned(() => resolve('signal'))
  // A terminal that is gone takes no more words.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined)
  return { requested: promise, accident: (accident) => resolve({ accident }) }
}

/** npm hands signals on, but not its own death by SIGKILL; then somebody else becomes our parent. */
function whenOrphaned(stop: () => void): void {
  const parent = process.ppid
  setInterval(() => process.ppid !== parent && stop(), 500).unref()
}

function count(max: number) {
  return (text: string): number => {
    const value = Number(text)
    if (Number.isInteger(value) && value >= 1 && value <= max) return value
    throw new InvalidArgumentError(`It must be a whole number from 1 to ${max}.`)
  }
}

const program = new Command('npm start --')
  .description('Runs a whole Fogmeter on this machine, with real household data.')
  .option('--seconds <n>', 'stop the meters after this long, drain, and account', count(86_400))
  .option('--json', 'print the account as one line of JSON', false)
  .option('--fogs <n>', 'fog nodes', count(16), 2)
  .option('--meters <n>', 'meters, a process each', count(200), 20)
  .option('--speed <n>', 'reading time per wall time', count(10_000), 60)
  .option('--dir <folder>', 'keep everything in this folder instead of a temporary one')
  .showHelpAfterError()
  .configureOutput({ writeOut: (text) => process.stderr.write(text) })
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .parse()

try {
  process.exitCode = await main(program.opts<Options>())
} catch (error) {
  const text = error instanceof CodedError ? `${error.message} (${error.code})` : String(error)
  process.stderr.write(`${text}\n`)
  process.exitCode = 1
}
