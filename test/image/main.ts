/**
 * npm run test:image -- [--image FILE] [--machine virt|raspi3b] [--minutes N] [--seed N] [--dir DIR]
 *
 * Boots the image in QEMU as a fog node between five meters and a cloud on this machine, pulls its plug
 * under load, boots it again, and accounts for every reading. Without --machine, as both machines.
 * Progress on stderr, one line of JSON a machine on stdout; exit code 0 when every promise held.
 * With --lying-disk (virt) the disk forgets what it promised to have written: then it has to fail.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import packageFile from '../../package.json' with { type: 'json' }
import { seededRandom } from '../support/random.ts'
import type { Machine } from './guest.ts'
import { runScenario } from './scenario.ts'

const root = join(import.meta.dirname, '../..')
const machines: readonly Machine[] = ['virt', 'raspi3b']

const { values } = parseArgs({
  options: {
    image: {
      type: 'string',
      default: join(root, `dist/pi-image/fogmeter-pi-${packageFile.version}-arm64.img`),
    },
    machine: { type: 'string' },
    minutes: { type: 'string', default: '30' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    dir: { type: 'string' },
    'lying-disk': { type: 'boolean', default: false },
  },
})

const chosen = machines.filter((machine) => (values.machine ?? machine) === machine)
const seed = Number(values.seed)
const limitMs = 60_000 * Number(values.minutes)
if (chosen.length === 0 || !(limitMs > 0) || !Number.isInteger(seed)) {
  process.stderr.write('--machine is virt or raspi3b, --minutes and --seed are numbers\n')
  process.exit(2)
}
if (!existsSync(values.image)) {
  process.stderr.write(`${values.image} is missing: pi-image/build\n`)
  process.exit(2)
}

const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.abort())

async function test(machine: Machine): Promise<boolean> {
  const startedMs = performance.now()
  const say = (text: string): void => {
    const seconds = Math.round((performance.now() - startedMs) / 1_000)
    process.stderr.write(`${machine} ${String(seconds).padStart(4)} s  ${text}\n`)
  }
  const parent = values.dir === undefined ? tmpdir() : resolve(values.dir)
  mkdirSync(parent, { recursive: true })
  const dir = mkdtempSync(join(parent, `fogmeter-image-${machine}-`))
  const limit = setTimeout(() => {
    say(`time limit of ${values.minutes} minutes`)
    stop.abort()
  }, limitMs)
  try {
    const { problems, ...report } = await runScenario({
      image: resolve(values.image),
      machine,
      dir,
      random: seededRandom(seed),
      lyingDisk: values['lying-disk'],
      abort: stop.signal,
      say,
    })
    for (const problem of problems) say(problem)
    const ok = problems.length === 0 && report.lost === 0 && report.duplicated === 0
    say(ok ? `all ${report.accounted} readings are accounted for` : `logs and card: ${dir}`)
    process.stdout.write(`${JSON.stringify({ ...report, seed, ok })}\n`)
    if (ok) rmSync(dir, { recursive: true })
    return ok
  } catch (error) {
    say(error instanceof Error ? error.message : String(error))
    say(`logs and card: ${dir}`)
    return false
  } finally {
    clearTimeout(limit)
  }
}

let ok = true
for (const machine of chosen) ok = (await test(machine)) && ok
process.exit(ok ? 0 : 1)
