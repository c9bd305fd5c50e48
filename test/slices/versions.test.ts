/** The script that turns from one version of the programs to the next, killed at every command it runs. */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync } from 'node:fs'
import { rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { makeMachine, makePrograms, runScript, type Machine } from '../support/update-lab.ts'

const scratch = mkdtempSync(join(tmpdir(), 'fogmeter-versions-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))
let machines = 0

/** Version 1 came with the machine, 2 was added and kept; 3 lies ready in `next`. */
async function machineWithTwo(): Promise<{ machine: Machine; next: string; ids: string[] }> {
  const folder = join(scratch, String(machines++))
  const machine = makeMachine(join(folder, 'root'), '1.0')
  const ids = ['2.0', '3.0'].map((version) => makePrograms(join(folder, version), version))
  for (const args of [['add', join(folder, '2.0')], ['keep']]) await ok(machine, ...args)
  return { machine, next: join(folder, '3.0'), ids }
}

async function ok(machine: Machine, ...args: string[]): Promise<void> {
  const { status, said } = await runScript(machine, 'versions', args)
  expect([status, status === 0 ? '' : said]).toEqual([0, ''])
}

const onTrial = ({ at }: Machine) => existsSync(join(at, 'trial'))
const refused = ({ at }: Machine) =>
  existsSync(join(at, 'refused')) ? readFileSync(join(at, 'refused'), 'utf8').split('\n') : []

/** Commands by which the script changes something, each replaced by one that can be the last. */
const commands = ['ln', 'mv', 'cp', 'rm', 'mkdir', 'sync', 'cat', 'grep']

/**
 * A PATH on which the command of this number kills the whole process group instead of running. A copy
 * then leaves half of what it was to copy.
 */
function deadly(folder: string, killAt: number): { PATH: string; count: string } {
  const [count, shims] = [join(folder, 'count'), join(folder, 'shims')]
  mkdirSync(shims, { recursive: true })
  writeFileSync(count, '0')
  for (const name of commands) {
    const half = name === 'cp' ? '/bin/cp -a "$2/app" "$3"' : ':'
    const text = `#!/bin/sh
read -r n < ${count}
n=$((n + 1))
echo $n > ${count}
if [ $n = ${killAt} ]; then ${half}; kill -KILL 0; fi
exec /bin/${name} "$@"
`
    writeFileSync(join(shims, name), text)
    chmodSync(join(shims, name), 0o755)
  }
  return { PATH: `${shims}:${process.env['PATH'] ?? ''}`, count }
}

/** Runs it to the end once to learn how many commands it has, then again for each that may be the last. */
async function atEveryCommand(
  prepare: () => Promise<{ machine: Machine; next: string; ids: string[] }>,
  args: (next: string) => string[],
  check: (machine: Machine, ids: string[], next: string) => Promise<void>,
): Promise<number> {
  for (let killAt = 1; ; killAt++) {
    const { machine, next, ids } = await prepare()
    const { PATH } = deadly(machine.root, killAt)
    const { status } = await runScript(machine, 'versions', args(next), { PATH })
    await check(machine, ids, next)
    if (status === 0) return killAt - 1
    expect(status).toBe(null) // killed, not failed
  }
}

describe('cut off at every command', () => {
  test('add: what runs is the old version, or the new one on trial', async () => {
    const seen = new Set<string>()
    const points = await atEveryCommand(
      machineWithTwo,
      (next) => ['add', next],
      async (machine, [old = '', fresh = ''], next) => {
        seen.add(machine.runs())
        expect([old, fresh]).toContain(machine.runs())
        await ok(machine, 'tidy')
        expect([old, fresh]).toContain(machine.runs())
        expect(onTrial(machine)).toBe(machine.runs() === fresh)
        await ok(machine, 'add', next)
        expect([machine.runs(), onTrial(machine)]).toEqual([fresh, true])
        await ok(machine, 'back')
        expect([machine.runs(), onTrial(machine)]).toEqual([old, false])
      },
    )
    expect([seen.size, points]).toEqual([2, expect.any(Number)])
    expect(points).toBeGreaterThan(12)
  })

  test('add, and again without a start of the machine in between', async () => {
    await atEveryCommand(
      machineWithTwo,
      (next) => ['add', next],
      async (machine, [, fresh], next) => {
        await ok(machine, 'add', next)
        expect([machine.runs(), onTrial(machine)]).toEqual([fresh, true])
      },
    )
  })

  test('keep: the new version runs, and is kept in the end', async () => {
    await atEveryCommand(
      onTrialMachine,
      () => ['keep'],
      async (machine, [, fresh]) => {
        await ok(machine, 'tidy')
        expect(machine.runs()).toBe(fresh)
        await ok(machine, 'keep')
        expect([machine.runs(), onTrial(machine), refused(machine)]).toEqual([fresh, false, []])
      },
    )
  })

  test('back: the new version on trial, or the old one for good', async () => {
    await atEveryCommand(
      onTrialMachine,
      () => ['back'],
      async (machine, [old, fresh = '']) => {
        await ok(machine, 'tidy')
        expect(onTrial(machine)).toBe(machine.runs() === fresh)
        if (onTrial(machine)) await ok(machine, 'back')
        expect([machine.runs(), onTrial(machine)]).toEqual([old, false])
        expect(refused(machine)).toContain(fresh)
      },
    )
  })
})

async function onTrialMachine() {
  const made = await machineWithTwo()
  await ok(made.machine, 'add', made.next)
  return made
}

test('a version that never proves itself gets three starts', async () => {
  const { machine, ids } = await onTrialMachine()
  const ran: string[] = []
  for (let start = 0; start < 5; start++) {
    await ok(machine, 'tidy')
    ran.push(machine.runs())
  }
  const [old, fresh] = ids
  expect(ran).toEqual([fresh, fresh, fresh, old, old])
  expect(refused(machine)).toContain(fresh)
})

test('a newer image takes the place of what the data partition has; an older one does not', async () => {
  const { machine, ids } = await machineWithTwo()
  const own = join(machine.root, 'usr/lib/fogmeter')
  makePrograms(own, '1.5')
  await ok(machine, 'tidy')
  expect(machine.runs()).toBe(ids[0])
  const newest = makePrograms(own, '2.0.1')
  await ok(machine, 'tidy')
  expect(machine.runs()).toBe(newest)
})

test('programs whose files are gone give way to what came with the machine', async () => {
  const { machine, ids } = await machineWithTwo()
  rmSync(join(machine.at, ids[0] ?? ''), { recursive: true })
  expect(machine.runs()).toContain('1.0-')
  await ok(machine, 'tidy')
  expect(machine.runs()).toContain('1.0-')
})

test.each([
  ['nothing', (folder: string) => mkdirSync(folder)],
  ['a name that leads elsewhere', badName('../../etc')],
  ['a name of two lines', badName('2.0-1\n3.0-1')],
])('%s is refused and changes nothing', async (_, make) => {
  const { machine, ids } = await machineWithTwo()
  const folder = join(machine.root, 'bad')
  make(folder)
  expect((await runScript(machine, 'versions', ['add', folder])).status).toBe(1)
  expect([machine.runs(), onTrial(machine)]).toEqual([ids[0], false])
})

function badName(name: string): (folder: string) => void {
  return (folder) => {
    makePrograms(folder, '3.0')
    writeFileSync(join(folder, 'build'), `${name}\n`)
  }
}

type Step = { do: 'add'; version: number } | { do: 'keep' | 'back' | 'tidy' }
const step: fc.Arbitrary<{ step: Step; killAt: number }> = fc.record({
  step: fc.oneof(
    fc.record({ do: fc.constant('add' as const), version: fc.integer({ min: 2, max: 4 }) }),
    fc.record({ do: fc.constantFrom('keep', 'back', 'tidy') }),
  ),
  killAt: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 20 })),
})

test('whatever is done, and wherever it is cut off, a whole version runs', async () => {
  const sources = join(scratch, 'sources')
  const names = [2, 3, 4].map((major) => makePrograms(join(sources, String(major)), `${major}.0`))
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 8 }), async (steps) => {
      const machine = makeMachine(join(scratch, String(machines++)), '1.0')
      const own = machine.runs()
      for (const { step: next, killAt } of steps) {
        const args = next.do === 'add' ? ['add', join(sources, String(next.version))] : [next.do]
        const { PATH } = deadly(machine.root, killAt)
        await runScript(machine, 'versions', args, { PATH })
        expect([own, ...names]).toContain(machine.runs())
      }
      // And nothing that happened is in the way of the next update.
      await ok(machine, 'tidy')
      await ok(machine, 'add', join(sources, '2'))
      await ok(machine, 'keep')
      expect([machine.runs(), onTrial(machine)]).toEqual([names[0], false])
    }),
    { numRuns: Number(process.env['FOGMETER_RUNS'] ?? 15) },
  )
})
