/**
 * Simulates whole lives of small deployments under failure, each drawn from one seed:
 * `npm run sim -- --seeds 100 --from 1`. Exit code 0 when nothing went wrong that must not.
 */
import { parseArgs } from 'node:util'
import { mutations } from './mutations.ts'
import { hunt, huntTable, summarise, summaryTable, type Hunt } from './report.ts'
import { runSeed, type RunResult } from './run.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    mutation: { type: 'string' },
    mutations: { type: 'boolean', default: false },
    trace: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    /** The default, named for scripts. */
    markdown: { type: 'boolean', default: false },
  },
})

const say = (line: string) => process.stdout.write(`${line}\n`)
const progress = (line: string) => process.stderr.write(`\r${line.padEnd(70)}`)

const [seeds, from] = [Number(values.seeds), Number(values.from)]
if (!Number.isSafeInteger(seeds) || !Number.isSafeInteger(from) || seeds < 1) {
  process.stderr.write('--seeds and --from take whole numbers\n')
  process.exit(2)
}
process.exitCode = (await (values.mutations ? huntAll() : runAll())) ? 0 : 1

async function runAll(): Promise<boolean> {
  const mutation = mutations.find(({ name }) => name === values.mutation)
  if (values.mutation !== undefined && mutation === undefined) {
    process.stderr.write(`no such mutation: ${mutations.map(({ name }) => name).join(', ')}\n`)
    process.exit(2)
  }
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
  const again = `npm run sim -- --from ${seed} --seeds 1 --trace`
  process.stderr.write(`\nseed ${seed} (replay: ${again})\n`)
  for (const violation of violations) process.stderr.write(`  ${violation}\n`)
  if (rotten.length > 0) process.stderr.write(`  one bit flipped: ${rotten.join(', ')}\n`)
}

/** Every planted bug until a seed finds it, and as many seeds without any. */
async function huntAll(): Promise<boolean> {
  const hunts: Hunt[] = []
  for (const mutation of mutations) {
    if (values.mutation !== undefined && mutation.name !== values.mutation) continue
    progress(mutation.name)
    hunts.push(await hunt(mutation, from, seeds))
  }
  process.stderr.write('\n')
  say(values.json ? JSON.stringify(hunts) : huntTable(hunts))
  return hunts.every(({ seeds: needed }) => needed !== null)
}
