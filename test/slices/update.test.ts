/**
 * The updater with the real apt, against a repository on 127.0.0.1 that does everything wrong. Where root
 * and a Debian root are needed: npm run chaos -- update.
 */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { seededRandom } from '../support/random.ts'
import {
  canUpdate,
  openUpdateLab,
  otherKey,
  runScript,
  startScript,
  type Fault,
  type Machine,
  type UpdateLab,
} from '../support/update-lab.ts'

const DAY_S = 86_400
const kills = Number(process.env['FOGMETER_KILLS'] ?? 16)
const seed = Number(process.env['FOGMETER_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

/** Changes one byte in the middle of files whose name matches. */
const flip =
  (pattern: RegExp): Fault =>
  (name, content) => {
    if (!pattern.test(name)) return null
    const at = content.length >> 1
    content.writeUInt8(content.readUInt8(at) ^ 1, at)
    return { content }
  }
const cut =
  (pattern: RegExp): Fault =>
  (name, content) =>
    pattern.test(name) ? { content, cutAt: content.length >> 1 } : null
const short =
  (pattern: RegExp): Fault =>
  (name, content) =>
    pattern.test(name) ? { content: content.subarray(0, content.length >> 1) } : null
const now = () => Math.floor(Date.now() / 1_000)

/** Everything but locks: what an update that was refused has to leave as it was. */
const stateOf = ({ at, runs }: Machine) => [
  runs(),
  existsSync(at) ? readdirSync(at).filter((name) => !name.startsWith('.')) : [],
]

/** What an update says before each of its steps. */
const marks = ['checking', 'fetching', 'unpacking', 'switching']

/** Kills an update a while after it said `mark`, apt's own processes too; returns what it said last. */
async function killAfter(node: Machine, mark: string, delayMs: number): Promise<string> {
  const { child, ended } = startScript(node, 'update')
  let said = ''
  await new Promise<void>((resolve) => {
    child.stdout?.on('data', (bytes: Buffer) => {
      said += bytes.toString()
      if (said.includes(mark)) resolve()
    })
    void ended.then(() => resolve())
  })
  await sleep(delayMs)
  if (child.exitCode === null) process.kill(-Number(child.pid), 'SIGKILL')
  await ended
  return said.trim().split('\n').at(-1) ?? ''
}

/** The old version again, and the new one is not held against it. */
async function forgetUpdate(node: Machine): Promise<void> {
  if (node.runs().startsWith('1.1-')) await runScript(node, 'versions', ['back'])
  rmSync(join(node.at, 'refused'), { force: true })
}

describe.skipIf(!canUpdate)('updates (skipped without apt, gpg or flock)', () => {
  let lab: UpdateLab
  let machines = 0
  beforeAll(async () => void (lab = await openUpdateLab()))
  afterAll(() => lab.close())
  beforeEach(() => void (lab.fault = null))
  const machine = () => lab.machine(`machine-${machines++}`, '1.0')

  test('a newer version is fetched, runs on trial, and is kept; then there is nothing to do', async () => {
    lab.publish(['1.0', '1.1'])
    const node = machine()
    const { status, said } = await runScript(node, 'update')
    expect([status, said]).toEqual([0, expect.stringContaining('1.1 is installed')])
    expect(node.runs()).toMatch(/^1\.1-/)
    expect(existsSync(join(node.at, 'trial'))).toBe(true)
    await runScript(node, 'versions', ['keep'])
    expect((await runScript(node, 'update')).said).toContain('1.1 is the newest')
  })

  test('a version that was taken back is not installed again, the next one is', async () => {
    lab.publish(['1.1'])
    const node = machine()
    await runScript(node, 'update')
    await runScript(node, 'versions', ['back'])
    expect(node.runs()).toMatch(/^1\.0-/)
    expect(await runScript(node, 'update')).toMatchObject({
      status: 0,
      said: expect.stringContaining('1.1 was taken back here'),
    })
    lab.publish(['1.1', '1.2'])
    await runScript(node, 'update')
    expect(node.runs()).toMatch(/^1\.2-/)
  })

  test.each<[string, RegExp, () => void]>([
    [
      'another key',
      /NO_PUBKEY|public key|not signed/i,
      () => lab.publish(['1.1'], { signKey: otherKey }),
    ],
    [
      'a list whose time is over',
      /expired/i,
      () => lab.publish(['1.1'], { epochS: now() - 40 * DAY_S }),
    ],
    [
      'a list from the future',
      /not valid yet|future/i,
      () => lab.publish(['1.1'], { epochS: now() + 2 * DAY_S }),
    ],
    [
      'a signed list that was changed',
      /invalid|BADSIG|not signed|signature/i,
      () => (lab.fault = flip(/^InRelease$/)),
    ],
    ['a list cut off', /not accepted/, () => (lab.fault = cut(/^InRelease$/))],
    [
      'packages the list does not know',
      /unexpected size|hash sum|mismatch/i,
      () => (lab.fault = flip(/^Packages/)),
    ],
    ['a package that was changed', /hash sum mismatch/i, () => (lab.fault = flip(/\.deb$/))],
    ['a package cut off', /not fetched/, () => (lab.fault = cut(/\.deb$/))],
    [
      'a package shorter than it says',
      /unexpected size|not fetched/i,
      () => (lab.fault = short(/\.deb$/)),
    ],
    ['nothing at all', /not accepted/, () => (lab.fault = (_, content) => ({ content, cutAt: 0 }))],
  ])('%s: refused, and nothing changes', async (_, says, spoil) => {
    lab.publish(['1.1'])
    const node = machine()
    const before = stateOf(node)
    spoil()
    const { status, said } = await runScript(node, 'update')
    expect([status, said]).toEqual([1, expect.stringMatching(says)])
    expect(said).toContain('nothing was changed')
    expect(stateOf(node)).toEqual(before)
    // It was the attack that was refused, not everything.
    lab.fault = null
    lab.publish(['1.1'])
    expect((await runScript(node, 'update')).status).toBe(0)
    expect(node.runs()).toMatch(/^1\.1-/)
  })

  test('an older list that was signed once brings nothing older', async () => {
    lab.publish(['1.0', '1.2'])
    const node = machine()
    await runScript(node, 'update')
    await runScript(node, 'versions', ['keep'])
    const [runs] = stateOf(node)
    lab.publish(['1.1'], { epochS: now() - DAY_S })
    const { status, said } = await runScript(node, 'update')
    expect([status, said]).toEqual([0, expect.stringContaining('1.2 is the newest')])
    expect(stateOf(node)[0]).toBe(runs)
  })

  test('the key signs for nothing but our package', async () => {
    const also = `Package: fogmeter-friend
Version: 9
Architecture: all
Filename: pool/friend.deb
Size: 1000
SHA256: ${'0'.repeat(64)}
`
    lab.publish(['1.1'], { also })
    const node = machine()
    const at = join(node.root, 'var/lib/fogmeter-versions/.apt')
    // The list as the update leaves it, were it not for the cleaning up.
    const script = join(node.root, 'usr/lib/fogmeter/update')
    const text = readFileSync(script, 'utf8').replace(
      'new=$(with_apt',
      'with_apt apt-cache policy fogmeter-friend\nnew=$(with_apt',
    )
    writeFileSync(script, text)
    const { said } = await runScript(node, 'update')
    expect(said).toMatch(/fogmeter-friend:\n {2}Installed: \(none\)\n {2}Candidate: \(none\)/)
    expect(said).toContain('-1')
    expect([existsSync(at), node.runs()]).toEqual([false, expect.stringMatching(/^1\.1-/)])
  })

  test('without a repository nothing is asked', async () => {
    const node = machine()
    writeFileSync(join(node.root, 'etc/apt/sources.list.d/fogmeter.sources'), '')
    lab.publish(['1.1'])
    await runScript(node, 'update')
    expect(node.runs()).toMatch(/^1\.0-/)
  })

  test(`killed ${kills} times in every phase: old or new, whole, and it ends well (seed ${seed})`, async () => {
    lab.publish(['1.0', '1.1'])
    const random = seededRandom(seed)
    const node = machine()
    const killedAfter = new Map<string, number>()
    for (let kill = 0; kill < kills; kill++) {
      const last = await killAfter(node, marks[kill % marks.length] ?? '', random() * 60)
      killedAfter.set(last, (killedAfter.get(last) ?? 0) + 1)
      expect(node.runs()).toMatch(/^1\.[01]-[0-9a-f]{12}$/)
      await runScript(node, 'versions', ['tidy'])
      expect(node.runs()).toMatch(/^1\.[01]-[0-9a-f]{12}$/)
      // On trial or not there: what was just switched to never passes for proved.
      expect(existsSync(join(node.at, 'trial'))).toBe(node.runs().startsWith('1.1-'))
      await forgetUpdate(node)
    }
    expect([...killedAfter.keys()]).toEqual(expect.arrayContaining(['checking', 'fetching 1.1']))
    expect((await runScript(node, 'update')).status).toBe(0)
    expect(node.runs()).toMatch(/^1\.1-/)
  })
})
