/** `npm start`: a cloud, fog nodes and meters as real processes on this machine. See README.md. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { CodedError } from '#errors'
import { account, type Account } from './account.ts'
import { prepareCluster, startCluster, stopCluster, stopTier, type Cluster } from './cluster.ts'
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

/** Reading time is compressed; the agent's patience, which runs on the wall clock, shrinks with it. */
function settings({ speed }: Options): { source: string; block: string; window: string } {
  // One beginning for all, so that separate processes share one compressed timeline.
  const start = `${new Date().toISOString().slice(0, 13)}:00:00Z`
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
  const dir = options.dir ?? mkdtempSync(join(tmpdir(), 'fogmeter-'))
  const cluster = await prepareCluster({
    dir,
    ...settings(options),
    fogs: options.fogs,
    meters: options.meters,
    httpPort: 8080,
  })
  const stop = stopRequest(options.seconds)
  try {
    await startCluster(
      cluster,
      ({ name, log }, code) =>
        stop.accident(`${name} ended by itself (${code}); its log is ${log}`),
      (started) => say(`${started} of ${cluster.specs.length} processes are up`),
    )
    stop.begin()
    const view = startView(cluster, { live: process.stderr.isTTY && !options.json })
    const accident = await stop.requested
    if (accident !== null) throw new CodedError('demo/process-ended', accident)
    const verdict = options.seconds === undefined ? null : await settle(cluster)
    view.stop()
    await stopCluster(cluster)
    return verdict === null ? 0 : report(account(cluster), options.json)
  } finally {
    await stopCluster(cluster)
    if (options.dir === undefined) rmSync(dir, { recursive: true, force: true })
  }
}

/** Meters stop producing and hand over what they hold; then the fogs, window by window. */
async function settle(cluster: Cluster): Promise<true> {
  say('stopping the meters; each signs and delivers what it holds')
  await stopTier(cluster, 'meter')
  say('closing the last windows')
  await waitUntilDrained(cluster)
  return true
}

function report(result: Account, json: boolean): number {
  const { problems, ...figures } = result
  for (const problem of problems) say(problem)
  const ok = problems.length === 0 && result.lost === 0 && result.duplicated === 0
  if (json) process.stdout.write(`${JSON.stringify(figures)}\n`)
  else say(ok ? `all ${figures.accounted} readings are accounted for` : 'the account is not clean')
  return ok ? 0 : 1
}

/** Resolves with null on Ctrl-C or after `seconds`, or with what went wrong. */
function stopRequest(seconds: number | undefined) {
  const { promise, resolve } = Promise.withResolvers<string | null>()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve(null))
  return {
    requested: promise,
    accident: (message: string) => resolve(message),
    begin() {
      if (seconds !== undefined) setTimeout(resolve, seconds * 1_000, null)
    },
  }
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
