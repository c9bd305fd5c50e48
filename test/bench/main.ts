/**
 * `npm run bench`: the figures of the README, measured on this machine. Progress on stderr, the
 * result on stdout. Nothing here fails because a machine is slow; `--check` fails when a goal of
 * the project is missed.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { format, resolveConfig } from 'prettier'
import { isMet, type Figure, type Machine, type Report, type Section } from './figures.ts'
import { goalText, intoReadme, shortNumber, toJson, toTable } from './output.ts'
import { serveRole } from './roles.ts'
import { agentSection } from './section-agent.ts'
import { bytesSection } from './section-bytes.ts'
import { brokerSection } from './section-broker.ts'
import { coreSection } from './section-core.ts'
import { diskSection } from './section-disk.ts'
import { handshakeSection } from './section-handshake.ts'

const sections: Record<string, Section> = {
  agent: agentSection,
  bytes: bytesSection,
  handshake: handshakeSection,
  core: coreSection,
  broker: brokerSection,
  disk: diskSection,
}

const usage = `usage: npm run bench -- [options]

  --only SECTION    one section (again for more): ${Object.keys(sections).join(', ')}
  --rounds N        rounds to take medians of, 5
  --quick           a small slice, to see that everything still works
  --json            one line of JSON on stdout instead of the table
  --write-readme    put the figures into README.md between its markers
  --profile FOLDER  CPU profiles of broker and agent, for a browser's profiler
  --check           exit with 1 when a goal is missed
`

const options = {
  only: { type: 'string', multiple: true },
  rounds: { type: 'string' },
  quick: { type: 'boolean' },
  json: { type: 'boolean' },
  'write-readme': { type: 'boolean' },
  check: { type: 'boolean' },
  profile: { type: 'string' },
  help: { type: 'boolean' },
  role: { type: 'string' },
} as const

const root = fileURLToPath(new URL('../..', import.meta.url))

// As the agent does: what is measured inside a process of ours is measured under its conditions.
setFlagsFromString('--no-parallel-scavenge')

const { values } = parseArgs({ options })
if (values.role !== undefined) serveRole(values.role)
else if (values.help) process.stdout.write(usage)
else await bench()

async function bench(): Promise<void> {
  const quick = values.quick ?? false
  const rounds = Number(values.rounds ?? (quick ? 1 : 5))
  const names = values.only ?? Object.keys(sections)
  const unknown = names.filter((name) => sections[name] === undefined)
  if (unknown.length > 0 || !(Number.isInteger(rounds) && rounds > 0)) {
    process.stderr.write(usage)
    process.exitCode = 2
    return
  }
  const { profile } = values
  const dir = diskFolder()
  const clear = () => rmSync(dir, { recursive: true, force: true })
  // Ctrl-C reaches the other processes by itself.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      clear()
      process.exit(130)
    })
  }
  const figures: Figure[] = []
  try {
    for (const name of names) {
      const say = (text: string) => process.stderr.write(`${name}: ${text}\n`)
      figures.push(...((await sections[name]?.({ rounds, quick, profile, say, dir })) ?? []))
    }
  } finally {
    clear()
  }
  await publish({ machine: machine(), figures })
}

async function publish(report: Report): Promise<void> {
  process.stdout.write(values.json ? `${toJson(report)}\n` : toTable(report))
  if (values['write-readme']) await writeReadme(report)
  const missed = report.figures.filter((figure) => isMet(figure) === false)
  for (const { what, median, unit, ratio, goal } of missed) {
    const value =
      goal?.on === 'ratio'
        ? `${shortNumber(ratio?.value ?? Number.NaN)} ×`
        : `${shortNumber(median)} ${unit}`
    process.stderr.write(`missed: ${what}: ${value}, goal ${goal ? goalText(goal, unit) : ''}\n`)
  }
  if (values.check && missed.length > 0) process.exitCode = 1
}

async function writeReadme(report: Report): Promise<void> {
  const path = join(root, 'README.md')
  const text = intoReadme(readFileSync(path, 'utf8'), report)
  if (text === null)
    process.stderr.write('README.md has no figures:begin and figures:end markers\n')
  else {
    const style = { ...(await resolveConfig(path)), filepath: path }
    writeFileSync(path, await format(text, style))
  }
}

/** Bytes written to a disk cannot be measured in memory. */
function diskFolder(): string {
  const tmpfs = 0x0102_1994
  const cache = join(root, 'node_modules', '.cache')
  mkdirSync(cache, { recursive: true })
  const parent = [tmpdir(), cache].find((folder) => statfsSync(folder).type !== tmpfs)
  if (parent === undefined) throw new Error('there is only memory to write to; set TMPDIR')
  return mkdtempSync(join(parent, 'fm-bench-'))
}

function machine(): Machine {
  const list = cpus()
  return {
    cpu: list[0]?.model.trim() ?? 'unknown CPU',
    cores: list.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.versions.node,
    date: new Date().toISOString().slice(0, 10),
  }
}
