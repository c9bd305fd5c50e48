/**
 * Updates that are cut off: a real root with the real package, apt and dpkg, on which a fog node, its meter and
 * a cloud work; the power goes while it updates itself, at seeded instants. After each start the programs are
 * the old version or the new one, whole, and hold what was acknowledged. As root.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { seededRandom } from '../support/random.ts'
import { chaosOptions, markdownTable, say } from './options.ts'
import { broken, promisesOf, readingsOf, type Promises } from './update/evidence.ts'
import { sh, type MachineKind } from './update/machine.ts'
import { debianRoot, makeNode, type FogNode } from './update/node.ts'
import { openReleases, type Release, type Releases } from './update/releases.ts'

/** What an update does one after the other; "after" is the first seconds of the new version. */
const phases = ['download', 'unpack', 'switch', 'after'] as const
type Phase = (typeof phases)[number]
/** How long after an update the power may still go, ms. */
const AFTER_MS = 4_000

interface PhaseRow {
  phase: Phase
  kills: number
  /** What ran after the next start. */
  old: number
  fresh: number
}

interface UpdateReport {
  kind: MachineKind
  rows: PhaseRow[]
  updates: number
  /** Readings receipted, and counted by the cloud, in the end. */
  acknowledged: number
  counted: number
  problems: string[]
}

interface Scene {
  kind: MachineKind
  node: FogNode
  releases: Releases
  random: () => number
  old: Release
  fresh: Release
  promised: Promises & { readings: Map<number, string> }
  report: UpdateReport
}

const architectureHere = () => sh('dpkg', '--print-architecture').trim()

async function campaign(
  kind: MachineKind,
  { kills, seed, forgetful }: { kills: number; seed: number; forgetful: boolean },
): Promise<UpdateReport> {
  const folder = mkdtempSync(join(tmpdir(), 'fogmeter-update-'))
  const architecture = architectureHere()
  const releases = await openReleases(folder, architecture)
  let node: FogNode | null = null
  try {
    const base = debianRoot(architecture)
    const first = releases.next()
    const place = join(folder, kind)
    node = await makeNode({ kind, folder: place, base, releases, first, forgetful })
    const rows = phases.map((phase) => ({ phase, kills: 0, old: 0, fresh: 0 }))
    const report = { kind, rows, updates: 0, acknowledged: 0, counted: 0, problems: [] }
    const promised = { acknowledged: 0, counted: 0, readings: new Map<number, string>() }
    const random = seededRandom(seed)
    const scene = { kind, node, releases, random, old: first, fresh: first, promised, report }
    await play(scene, kills)
    return report
  } finally {
    await node?.machine.cut()
    await releases.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function play(scene: Scene, kills: number): Promise<void> {
  const { node, report } = scene
  await node.boot()
  // Once without a kill, to see how long each phase takes.
  scene.fresh = scene.releases.next()
  const took = await updateWhole(scene)
  say(
    `${scene.kind}: ${phases.map((phase) => `${phase} ${Math.round(took[phase])} ms`).join(', ')}`,
  )
  await proved(scene)
  for (let kill = 0; kill < kills; kill++) {
    const phase = phases[kill % phases.length] ?? 'download'
    const hit = await cutDuring(scene, phase, took[phase])
    const row = report.rows.find((one) => one.phase === hit)
    const runs = await startAgain(scene)
    if (row !== undefined) row.kills += 1
    if (runs === scene.fresh.build) {
      if (row !== undefined) row.fresh += 1
      await proved(scene)
    } else if (row !== undefined) row.old += 1
    say(
      `${kill + 1} of ${kills}: ${hit}, then ${runs}, ${scene.promised.acknowledged} acknowledged`,
    )
    if (report.problems.length > 0) return
  }
  await updateWhole(scene)
  await settle(scene)
}

/** The power is back: what has to be true then. Returns what runs. */
async function startAgain({ node, old, fresh, promised, report }: Scene): Promise<string> {
  const { problems } = report
  try {
    await node.boot()
    const runs = node.runs()
    if (![old.build, fresh.build].includes(runs))
      problems.push(`neither the old version nor the new one: ${runs}`)
    const version = await node.machine.run('fogmeter', '--version')
    if (!runs.startsWith(`${version}-`)) problems.push(`${runs} says that it is ${version}`)
    problems.push(...broken(promised, node.machine.root))
    return runs
  } catch (error) {
    problems.push(
      `the node does not start: ${error instanceof Error ? error.message : String(error)}`,
    )
    return 'nothing'
  }
}

/** The new version has proved itself, and there is a newer one. */
async function proved(scene: Scene): Promise<void> {
  await scene.node.keep()
  scene.report.updates += 1
  scene.old = scene.fresh
  scene.fresh = scene.releases.next()
}

interface Running {
  child: ChildProcess
  /** What it is doing. */
  phase: () => Phase
  ended: Promise<unknown>
  said: string[]
}

/** Starts the update and hears what it does. */
function startUpdate({ kind, node: { machine } }: Scene): Running {
  const log = join(machine.root, 'var/log/dpkg.log')
  const before = existsSync(log) ? readFileSync(log).length : 0
  const child = machine.spawn(['/usr/lib/fogmeter/update'])
  let phase: Phase = 'download'
  const said: string[] = []
  child.stderr?.on('data', (bytes: Buffer) => said.push(bytes.toString()))
  createInterface({ input: child.stdout ?? process.stdin }).on('line', (line) => {
    said.push(line)
    if (line.startsWith('unpacking ')) phase = 'unpack'
    if (line.startsWith('switching ')) phase = 'switch'
    if (line.endsWith(' is installed')) phase = 'after'
  })
  /** dpkg does not say it, it writes it down. */
  function phaseNow(): Phase {
    if (kind === 'image' || phase === 'after') return phase
    const written = readFileSync(log).subarray(before)
    if (written.includes(' configure fogmeter')) return 'switch'
    return written.includes(' upgrade fogmeter') ? 'unpack' : 'download'
  }
  return {
    child,
    said,
    phase: phaseNow,
    ended: once(child, 'close'),
  }
}

/** An update that nothing disturbs; how long each phase took, ms. @throws Error when it fails */
async function updateWhole(scene: Scene): Promise<Record<Phase, number>> {
  const running = startUpdate(scene)
  const took = { download: 0, unpack: 0, switch: 0, after: AFTER_MS }
  let [last, at] = [running.phase(), performance.now()]
  const done = running.ended.then(() => true)
  while (!(await Promise.race([done, sleep(2)]))) {
    const [now, time] = [running.phase(), performance.now()]
    if (last !== 'after') took[last] += time - at
    ;[last, at] = [now, time]
  }
  if (running.child.exitCode === 0) return took
  throw new Error(`the update failed:\n${running.said.join('\n')}`)
}

/** Cuts the power at a random instant of a phase, or of what came instead; returns which it was. */
async function cutDuring(scene: Scene, phase: Phase, tookMs: number): Promise<Phase> {
  const { node, random, promised, report } = scene
  const running = startUpdate(scene)
  const ended = running.ended.then(() => true)
  while (running.phase() !== phase && !(await Promise.race([ended, sleep(2)])));
  await sleep(random() * tookMs)
  const hit = running.phase()
  if ((running.child.exitCode ?? 0) !== 0)
    report.problems.push(`the update failed by itself: ${running.said.join('\n')}`)
  Object.assign(promised, promisesOf(node.machine.root))
  for (const [number, content] of readingsOf(node.machine.root))
    promised.readings.set(number, content)
  await node.machine.cut()
  return hit
}

/** The meter is stopped in order; the cloud has to count every reading that the fog node holds, once. */
async function settle({ node, report }: Scene): Promise<void> {
  const { root } = node.machine
  await node.stop('meter@meter-0001')
  const counts = () => ({ held: readingsOf(root).size, counted: promisesOf(root).counted })
  for (let waited = 0; waited < 120 && counts().counted !== counts().held; waited++)
    await sleep(1_000)
  const { held, counted } = counts()
  Object.assign(report, { acknowledged: promisesOf(root).acknowledged, counted })
  if (counted !== held) report.problems.push(`of ${held} readings held, ${counted} are counted`)
}

const usage = `usage: npm run chaos -- update [options]

  --kills N      how often the power goes during an update (default 100)
  --image        on the read-only root of an image, not with the package on Debian
  --seed N       at which instants (default: a random one, printed)
  --forgetful    nothing is synced: then something MUST be found, and the exit code is 0 only when it was
  --json, --markdown

As root, with mmdebstrap, and a package: npm run package. Exit code 0 when every start found the old version
or the new one, whole, and every acknowledged reading, else 1.
`

/** Mounts and addresses of its own, gone with it: the machine around it is not touched. */
const INSIDE = 'FOGMETER_CHAOS_INSIDE'

export async function run(args: string[]): Promise<number> {
  if (process.env[INSIDE] === undefined && !args.includes('--help')) {
    debianRoot(architectureHere()) // while there is a network
    const again = ['--mount', '--net', process.execPath, ...process.argv.slice(1)]
    const child = spawn('unshare', again, {
      stdio: 'inherit',
      env: { ...process.env, [INSIDE]: '1' },
    })
    const [code] = (await once(child, 'exit')) as [number | null]
    return code ?? 1
  }
  const { options, code } = chaosOptions(args, usage, { kills: 100 }, ['image', 'forgetful'])
  if (options === null) return code
  if (process.getuid?.() !== 0 || spawnSync('ip', ['link', 'set', 'lo', 'up']).status !== 0) {
    process.stderr.write('root is needed, and ip of iproute2\n')
    return 1
  }
  const forgetful = options.switches.has('forgetful')
  const kind = options.switches.has('image') ? 'image' : 'package'
  const { seed, numbers } = options
  const report = await campaign(kind, { kills: numbers['kills'] ?? 0, seed, forgetful })
  for (const problem of report.problems) process.stderr.write(`${problem}\n`)
  process.stdout.write(options.json ? `${JSON.stringify({ seed, ...report })}\n` : markdown(report))
  return report.problems.length > 0 === forgetful ? 0 : 1
}

function markdown({ rows, updates, acknowledged, counted, problems }: UpdateReport): string {
  const lines = rows.map(({ phase, kills, old, fresh }) => [phase, kills, old, fresh])
  const head = ['power cut during', 'times', 'old version after', 'new version after']
  return `${markdownTable(head, lines)}
${updates} updates completed; ${acknowledged} readings acknowledged, ${counted} counted; ${problems.length} broken promises
`
}
