/** The unit files: what systemd itself says about them, and who can reach what. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { last, parseUnit, spanMs, words } from '../../deploy/systemd/unit-file.ts'

const folder = join(import.meta.dirname, '../../deploy/systemd')
const names = readdirSync(folder).filter((name) => name.endsWith('.service'))
const read = (name: string) => readFileSync(join(folder, name), 'utf8')
const broker = parseUnit(read('fogmeter-broker.service'))
const firstBoot = 'fogmeter-first-boot.service'
/** Those that run for ever. */
const programs = names.filter((name) => name !== firstBoot)
const keeping = programs.filter((name) => name !== 'fogmeter-broker.service')

/** In tenths, as `systemd-analyze security --threshold` wants it: 1.5 is its "OK" for a network service. */
const threshold = 15

const hasAnalyze = spawnSync('systemd-analyze', ['--version']).status === 0
const scratch = mkdtempSync(join(tmpdir(), 'fogmeter-units-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

/** Runs systemd-analyze on a unit as it would be installed, with a program that exists here. */
function analyze(args: readonly string[], name: string, text: string) {
  const path = join(scratch, name.replace('@.', '@x.'))
  writeFileSync(path, text.replace('/usr/bin/fogmeter', process.execPath))
  const { status, stdout, stderr } = spawnSync('systemd-analyze', [...args, path], {
    encoding: 'utf8',
    env: { ...process.env, SYSTEMD_PAGER: '' },
  })
  return { status, said: stdout + stderr }
}
const verify = (name: string, text: string) => analyze(['verify', '--man=no'], name, text)
const rate = (name: string, text: string) =>
  analyze(['security', '--offline=yes', `--threshold=${threshold}`], name, text)

describe.skipIf(!hasAnalyze)('systemd-analyze (skipped where it is not installed)', () => {
  test.each(names)('%s: every setting is one, and the sandbox is tight', (name) => {
    const verified = verify(name, read(name))
    expect(verified.said.split('\n').filter((line) => line.includes('fogmeter'))).toEqual([])
    expect(verified.status).toBe(0)
    expect(rate(name, read(name))).toMatchObject({ status: 0 })
  })

  test('a misspelt setting and a hole in the sandbox are found', () => {
    const [name = ''] = names
    expect(verify(name, read(name).replace('WatchdogSec', 'WatchdogSek')).said).toContain(
      'WatchdogSek',
    )
    expect(rate(name, read(name).replace('CapabilityBoundingSet=\n', '')).status).not.toBe(0)
  })
})

const updating = join(import.meta.dirname, '../../deploy/update')
const readUpdating = (name: string) => readFileSync(join(updating, name), 'utf8')

describe('updates', () => {
  test.skipIf(!hasAnalyze)(
    'systemd knows every setting, and what runs at each start is tight',
    () => {
      for (const name of readdirSync(updating).filter((file) => /\.(service|timer)$/.test(file))) {
        const text = readUpdating(name).replaceAll(/\/usr\/lib\/fogmeter\/\w+/g, process.execPath)
        const { said } = verify(name, text)
        expect(said.split('\n').filter((line) => line.includes(`${name}:`))).toEqual([])
      }
      const first = 'fogmeter-versions.service'
      expect(rate(first, readUpdating(first))).toMatchObject({ status: 0 })
    },
  )

  test('the version is settled before any program starts, and judged after all have', () => {
    const versions = parseUnit(readUpdating('fogmeter-versions.service'))
    const before = words(versions, 'Unit', 'Before')
    for (const name of names) {
      const unit = parseUnit(read(name))
      const settled = words(unit, 'Unit', 'After').includes('fogmeter-versions.service')
      expect([name, settled || before.includes(name)]).toEqual([name, true])
    }
    const after = words(parseUnit(readUpdating('fogmeter-upkeep.service')), 'Unit', 'After')
    expect(after).toEqual(
      expect.arrayContaining(['fogmeter-broker.service', 'fogmeter-agent.service']),
    )
  })

  test('a version has proved itself after more than every watchdog', () => {
    const proof = /proof=\$\{PROOF_SECONDS:-(\d+)\}/.exec(readUpdating('upkeep'))?.[1] ?? ''
    for (const name of programs) {
      const watchdog = last(parseUnit(read(name)), 'Service', 'WatchdogSec') ?? ''
      expect(spanMs(proof)).toBeGreaterThan(spanMs(watchdog))
    }
  })

  test('nothing is asked or installed before a repository is named', () => {
    const unit = parseUnit(readUpdating('fogmeter-update.service'))
    const [condition] = words(unit, 'Unit', 'ConditionPathExists')
    expect(condition).toBe('/etc/apt/sources.list.d/fogmeter.sources')
    expect(readUpdating('update')).toContain(`sources=$root${condition}\n`)
  })

  test.each(['versions', 'update', 'upkeep'])('%s is a script of the plain shell', (name) => {
    expect(spawnSync('sh', ['-n', join(updating, name)]).status).toBe(0)
    expect(readUpdating(name)).toContain('\nset -eu\n')
  })
})

describe('what each may do', () => {
  test.each(programs)('%s: kept running for ever, and fed in time', (name) => {
    const unit = parseUnit(read(name), 'x')
    const service = (key: string) => last(unit, 'Service', key)
    expect([service('Type'), service('NotifyAccess')]).toEqual(['notify', 'all'])
    expect([service('Restart'), last(unit, 'Unit', 'StartLimitIntervalSec')]).toEqual([
      'always',
      '0',
    ])
    // A group of readings may wait forty seconds for its commit, with the longest commit.interval_ms.
    expect(spanMs(service('WatchdogSec') ?? '')).toBeGreaterThan(2 * 40_000)
    expect(service('LimitCORE')).toBe('0')
    expect(service('MemoryMax')).toMatch(/^\d+M$/)
    const [config] = words(unit, 'Unit', 'ConditionPathExists')
    expect(service('ExecStart')?.endsWith(` --config ${config}`)).toBe(true)
  })

  test('each has a user of its own, and sysusers makes them', () => {
    const users = programs.map((name) => last(parseUnit(read(name)), 'Service', 'User'))
    expect(new Set(users).size).toBe(programs.length)
    const made = read('fogmeter.sysusers').matchAll(/^u\s+(\S+)/gm)
    expect(new Set(Array.from(made, ([, user]) => user))).toEqual(new Set(users))
  })

  test('the broker gets no key, keeps no store, and cannot see those of the others', () => {
    for (const key of ['LoadCredential', 'StateDirectory', 'SupplementaryGroups'])
      expect(words(broker, 'Service', key)).toEqual([])
    const hidden = words(broker, 'Service', 'InaccessiblePaths').map((path) => path.slice(1))
    const kept = keeping.flatMap((name) => {
      const unit = parseUnit(read(name), 'x')
      const keys = words(unit, 'Service', 'LoadCredential').map((line) => line.split(':')[1] ?? '')
      const stores = words(unit, 'Service', 'StateDirectory').map((path) => `/var/lib/${path}`)
      return [...keys, ...stores]
    })
    expect(kept).toHaveLength(2 * keeping.length)
    for (const path of kept) expect(hidden.some((above) => path.startsWith(`${above}/`))).toBe(true)
  })

  test.each(programs)('%s: the token and the Wi-Fi key of a card are not there for it', (name) => {
    expect(words(parseUnit(read(name), 'x'), 'Service', 'InaccessiblePaths')).toContain('-/boot')
  })

  test.each(keeping)('%s: its store is its own, the key is handed over', (name) => {
    const unit = parseUnit(read(name), 'x')
    expect(last(unit, 'Service', 'StateDirectoryMode')).toBe('0700')
    expect(words(unit, 'Service', 'InaccessiblePaths')).toContain('-/etc/fogmeter/keys')
  })

  test('the first boot: tried until it succeeds, before the programs, and it starts them then', () => {
    const unit = parseUnit(read(firstBoot))
    const service = (key: string) => last(unit, 'Service', key)
    expect([service('Type'), service('Restart')]).toEqual(['oneshot', 'on-failure'])
    expect([service('TimeoutStartSec'), last(unit, 'Unit', 'StartLimitIntervalSec')]).toEqual([
      'infinity',
      '0',
    ])
    const started = ['fogmeter-broker.service', 'fogmeter-agent.service']
    expect(words(unit, 'Unit', 'Before')).toEqual(started)
    expect(service('ExecStartPost')?.endsWith(started.join(' '))).toBe(true)
    // Root, and no privilege but that its own files are root's.
    expect([service('User'), service('CapabilityBoundingSet'), service('LimitCORE')]).toEqual([
      undefined,
      undefined,
      '0',
    ])
  })

  test('agent and cloud service reach the socket by the group of the broker', () => {
    expect(last(broker, 'Service', 'RuntimeDirectoryMode')).toBe('0750')
    for (const name of ['fogmeter-agent.service', 'fogmeter-cloud.service'])
      expect(words(parseUnit(read(name)), 'Service', 'SupplementaryGroups')).toEqual([
        last(broker, 'Service', 'User'),
      ])
  })
})

describe('reading unit files', () => {
  test('comments, continued lines, repeated and emptied settings, %i', () => {
    const unit = parseUnit(
      '# c\n[Service]\nA=1 2\nA=3\nB=x \\\n  y\nC=1\nC=\nD=/etc/%i.toml 100%%\n; c\n[Install]\n',
      'k',
    )
    expect(words(unit, 'Service', 'A')).toEqual(['1', '2', '3'])
    expect(words(unit, 'Service', 'B')).toEqual(['x', 'y'])
    expect(last(unit, 'Service', 'C')).toBeUndefined()
    expect(last(unit, 'Service', 'D')).toBe('/etc/k.toml 100%')
    expect(() => parseUnit('[Service]\nnonsense\n')).toThrow('nonsense')
  })

  test('time spans', () => {
    expect(['5', '500ms', '2min', '30s'].map(spanMs)).toEqual([5_000, 500, 120_000, 30_000])
    expect(() => spanMs('soon')).toThrow('soon')
  })
})
