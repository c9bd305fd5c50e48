/**
 * Power cuts: the real agent, cloud and meter run under load while strace records every change they
 * make to their stores, and what they tell others. From that, disks are made as a power cut at any
 * moment could leave them, and each is opened with the real code.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { seededRandom } from '../support/random.ts'
import { chaosOptions, say as progress } from './options.ts'
import { createDisk, cutKinds } from './powercut/disk.ts'
import { judgeFor, judgeState, newTold, tell } from './powercut/judge.ts'
import { canTrace, record, type Recording, type Session } from './powercut/record.ts'
import type { Op } from './powercut/trace.ts'

export { canTrace }

export interface PowercutRow {
  program: string
  /** Writes and syncs of the store in the recording, and what it told others meanwhile. */
  writes: number
  syncs: number
  told: number
  /** States opened, and how many of them broke a promise. */
  states: number
  broken: number
  /** The first few broken promises in words. */
  problems: string[]
}

export interface PowercutOptions {
  states: number
  seed: number
  seconds: number
  /** Stores commit at NORMAL: the campaign has to find broken promises, or it proves nothing. */
  unsafe?: boolean
  onProgress?: (text: string) => void
}

const problemsKept = 5

/** Every promise of every program against disks that lost power. */
export async function powercutCampaign(options: PowercutOptions): Promise<PowercutRow[]> {
  const { rows } = await campaign(options)
  return rows
}

/**
 * The same, and once more with every sync of a WAL left out of the recording: what a program would
 * do that acknowledges before it is on disk. There the campaign has to find broken promises.
 */
export async function powercutDrill(
  options: PowercutOptions,
): Promise<{ rows: PowercutRow[]; withoutSyncs: PowercutRow[] }> {
  return campaign(options, (op) => !(op.type === 'sync' && op.path.endsWith('-wal')))
}

async function campaign(
  options: PowercutOptions,
  keep?: (op: Op) => boolean,
): Promise<{ rows: PowercutRow[]; withoutSyncs: PowercutRow[] }> {
  const say = options.onProgress ?? (() => undefined)
  say(`recording for ${options.seconds} s`)
  const session = await record({ seconds: options.seconds, unsafe: options.unsafe ?? false })
  const folder = mkdtempSync(join(tmpdir(), 'fogmeter-cut-'))
  try {
    const states = Math.ceil(options.states / session.recordings.length)
    const judged = (recording: Recording, index: number) => {
      const random = seededRandom(options.seed + index)
      const row = tryAll(recording, session, { states, random, folder })
      say(`${row.program}: ${row.states} states, ${row.broken} broken`)
      return row
    }
    const { recordings } = session
    const rows = recordings.map(judged)
    if (keep === undefined) return { rows, withoutSyncs: [] }
    const poorer = recordings.map((recording) => ({
      ...recording,
      ops: recording.ops.filter(keep),
    }))
    return { rows, withoutSyncs: poorer.map(judged) }
  } finally {
    rmSync(folder, { recursive: true, force: true })
    rmSync(session.dir, { recursive: true, force: true })
  }
}

/** Walks through the recording once and cuts the power at moments the seed decides. */
function tryAll(
  recording: Recording,
  session: Session,
  { states, random, folder }: { states: number; random: () => number; folder: string },
): PowercutRow {
  const { ops, program } = recording
  const judge = judgeFor(recording, session)
  const [disk, told] = [createDisk(), newTold()]
  const moments = Array.from({ length: states }, () => Math.floor(random() * (ops.length + 1)))
  const due = moments.toSorted((a, b) => b - a)
  const row: PowercutRow = { ...counts(ops, program), states: 0, broken: 0, problems: [] }
  for (let at = 0; at <= ops.length; at++) {
    while (due.at(-1) === at) {
      due.pop()
      const kind = cutKinds[row.states % cutKinds.length] ?? 'drop'
      const files = disk.cut(kind, random)
      const problems = judgeState(files, recording, folder, (path) => judge(path, told))
      row.states += 1
      if (problems.length === 0) continue
      row.broken += 1
      if (row.problems.length < problemsKept)
        row.problems.push(`${program}, ${kind} at ${at} of ${ops.length}: ${problems.join('; ')}`)
    }
    const op = ops[at]
    if (op?.type === 'mark') tell(told, op.words)
    else if (op) disk.apply(op)
  }
  return row
}

function counts(ops: Recording['ops'], program: string) {
  const count = (...types: string[]) => ops.filter(({ type }) => types.includes(type)).length
  return {
    program,
    writes: count('write', 'truncate'),
    syncs: count('sync'),
    told: count('mark'),
  }
}

const usage = `usage: npm run chaos -- powercut [options]

  --states N     disks to make and open, over all three stores (default 2000)
  --seconds N    length of the recording (default 20)
  --seed N       which moments and which sectors (default: a random one, printed)
  --normal       let the stores commit at synchronous=NORMAL; then broken promises MUST be found,
                 and the exit code is 0 only when they were
  --json, --markdown

Needs strace. Exit code 0 when every disk held everything that had been acknowledged, else 1.
`

export async function run(args: string[]): Promise<number> {
  const { options, code } = chaosOptions(args, usage, { states: 2000, seconds: 20 }, ['normal'])
  if (options === null) return code
  const { seed, numbers } = options
  const normal = options.switches.has('normal')
  if (!canTrace()) {
    process.stderr.write('strace is not there or may not trace: apt-get install strace\n')
    return 1
  }
  const rows = await powercutCampaign({
    states: numbers['states'] ?? 0,
    seconds: numbers['seconds'] ?? 0,
    seed,
    unsafe: normal,
    onProgress: progress,
  })
  for (const { problems } of rows) {
    for (const problem of problems) process.stderr.write(`${problem}\n`)
  }
  const stdout = options.json ? `${JSON.stringify({ seed, rows })}\n` : markdown(rows)
  process.stdout.write(stdout)
  const broken = rows.reduce((sum, row) => sum + row.broken, 0)
  return broken > 0 === normal ? 0 : 1
}

function markdown(rows: readonly PowercutRow[]): string {
  const lines = rows.map(
    ({ program, writes, syncs, told, states, broken }) =>
      `| ${program} | ${writes} | ${syncs} | ${told} | ${states} | ${broken} |`,
  )
  return [
    '| store of | writes | syncs | promises made | states opened | broken promises |',
    '| --- | ---: | ---: | ---: | ---: | ---: |',
    ...lines,
    '',
  ].join('\n')
}
