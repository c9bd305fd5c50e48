/**
 * Simulates whole lives of small deployments under failure, each drawn from one seed:
 * `npm run sim -- --seeds 100 --from 1`. Exit code 0 when nothing went wrong that must not.
 */
import { parseArgs } from 'node:util'
import { mutations } from './mutations.ts'
import { hunt, huntTable, summarise, summaryTable, type Hunt } from './report.ts'
import { runSeed, type RunResult } from './run.ts'

const usage = `usage: npm run sim -- [options]

  --seeds N        how many, one after the other (default 100)
  --from N         the first seed (default 1)
  --trace          every event on stdout
  --mutations      plant every known bug, one at a time, until a seed finds it; --seeds is the most
  --mutation NAME  plant this one: ${mutations.map(({ name }) => name).join(', ')}
  --json           one line of JSON instead of a table
  --markdown       a table in Markdown, the default

Every seed in which something went wrong is named with the command that replays it.
Exit code 0: nothing went wrong (with --mutations: every bug was found), else 1.
`

const USAGE_ERROR = 2

function wrong(text: string): never {
  process.stderr.write(`${text}\n${usage}`)
  process.exit(USAGE_ERROR)
}

const values = read()
if (values.help) {
  process.stdout.write(usage)
  process.exit()
}
const [seeds, from] = [whole('seeds', 1), whole('from', 0)]
const mutation = mutations.find(({ name }) => name === values.mutation)
if (values.mutation !== undefined && mutation === undefined) {
  wrong(`--mutation: there is no ${values.mutation}`)
}

const say = (line: string) => process.stdout.write(`${line}\n`)
const progress = (line: string) => process.stderr.write(`\r${line.padEnd(70)}`)

process.exitCode = (await (values.mutations ? huntAll() : runAll())) ? 0 : 1

function read() {
  try {
    return parseArgs({
      options: {
        seeds: { type: 'string', default: '100' },
        from: { type: 'string', default: '1' },
        mutation: { type: 'string' },
        mutations: { type: 'boolean', default: false },
        trace: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        /** The default, named for scripts. */
        markdown: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    return wrong(error instanceof Error ? error.message : String(error))
  }
}

function whole(name: 'seeds' | 'from', least: number): number {
  const text = values[name]
  if (/^\d{1,15}$/.test(text) && Number(text) >= least) return Number(text)
  return wrong(`--${name}: a whole number from ${least} is needed`)
}

async function runAll(): Promise<boolean> {
  const results: RunResult[] = []
  const started = process.cpuUsage().user
  for (let seed = from; seed < from + seeds; seed++) {
    const result = await runSeed(seed, {
      ...(mutation && { mutation }),
      ...(values.trace && { print: say }),
    })
    results.push(result)
    if (result.violations.length > 0) fail(result)
    progress(`seed ${seed}, ${results.length} of ${seeds}`)
  }
  process.stderr.write('\n')
  const summary = summarise(results, (process.cpuUsage().user - started) / 1e6)
  if (values.json) say(JSON.stringify(summary))
  else say(summaryTable(summary))
  return summary.failed.length === 0
}

function fail({ seed, violations, rotten }: RunResult): void {
  const planted = mutation === undefined ? '' : ` --mutation ${mutation.name}`
  const again = `npm run sim -- --from ${seed} --seeds 1${planted} --trace`
  process.stderr.write(`\nseed ${seed} (replay: ${again})\n`)
  for (const violation of violations) process.stderr.write(`  ${violation}\n`)
  if (rotten.length > 0) process.stderr.write(`  one bit flipped: ${rotten.join(', ')}\n`)
}

/** Every planted bug until a seed finds it, and as many seeds without any. */
async function huntAll(): Promise<boolean> {
  const hunts: Hunt[] = []
  for (const planted of mutation === undefined ? mutations : [mutation]) {
    progress(planted.name)
    hunts.push(await hunt(planted, from, seeds))
  }
  process.stderr.write('\n')
  say(values.json ? JSON.stringify(hunts) : huntTable(hunts))
  return hunts.every(({ seeds: needed }) => needed !== null)
}
