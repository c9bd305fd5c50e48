/** What is looked at before a machine is made a fog node over SSH; the whole of it: test/package/provision. */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { LOOK, obstacles, parseFacts, type Facts } from '../../apps/pi/facts.ts'
import { openRemote, quoted } from '../../apps/pi/remote.ts'
import { codeThrown } from '../support/coded.ts'

const folder = mkdtempSync(join(tmpdir(), 'fogmeter-provision-'))
afterAll(() => rmSync(folder, { recursive: true }))

const pi: Facts = {
  architecture: 'arm64',
  os: 'debian',
  osLike: '',
  osVersion: '13',
  freeKib: 10_000_000,
  clockS: 1_790_000_000,
  root: true,
  systemd: true,
  node: '',
  authority: '',
}
const wanted = { architecture: 'arm64', fog: 'FN-01', nowS: pi.clockS }

describe('what stands in the way', () => {
  test.each<[string, Partial<Facts>, RegExp | null]>([
    ['nothing', {}, null],
    ['a relative of Debian', { os: 'ubuntu', osLike: 'debian', osVersion: '26.04' }, null],
    ['no dpkg', { architecture: '' }, /no dpkg/],
    ['32 bits', { architecture: 'armhf' }, /64-bit Raspberry Pi OS/],
    ['another architecture', { architecture: 'amd64' }, /amd64 and the package is for arm64/],
    ['Debian 11', { osVersion: '11' }, /older than 12/],
    ['Debian 12', { osVersion: '12' }, null],
    ['no Debian', { os: 'fedora', osLike: '', osVersion: '44' }, /fedora 44/],
    ['too little space', { freeKib: 399_999 }, /400 are needed/],
    ['just enough', { freeKib: 400_000 }, null],
    ['a clock of 1970', { clockS: 60 }, /behind; run there: sudo timedatectl/],
    ['five minutes ahead', { clockS: pi.clockS + 300 }, null],
    ['a second more', { clockS: pi.clockS + 301 }, /301 s ahead/],
    ['no rights', { root: false }, /sudo asks for a password/],
    ['no systemd', { systemd: false }, /systemd is not running/],
    ['this node', { node: 'FN-01' }, null],
    ['another node', { node: 'FN-02' }, /fog node "FN-02" already/],
  ])('%s', (_, changes, problem) => {
    const found = obstacles({ ...pi, ...changes }, wanted)
    expect(found.map((one) => problem?.test(one))).toEqual(problem === null ? [] : [true])
  })

  test('everything at once', () => {
    const broken = { architecture: '', freeKib: 0, clockS: 0, root: false, node: 'x' }
    expect(obstacles({ ...pi, ...broken }, wanted)).toHaveLength(5)
  })

  test('a machine is asked by a POSIX script: this one', () => {
    const { stdout, status } = spawnSync('sh', ['-c', LOOK], { encoding: 'utf8' })
    const facts = parseFacts(stdout)
    expect(status).toBe(0)
    expect(facts.freeKib).toBeGreaterThan(0)
    expect(Math.abs(facts.clockS - Date.now() / 1_000)).toBeLessThan(60)
    expect(facts.os).toBe(/^ID="?([^"\n]*)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1])
  })

  test('a machine that says nothing fits nothing', () => {
    expect(obstacles(parseFacts(''), wanted).length).toBeGreaterThan(3)
  })
})

describe('ssh', () => {
  /** An ssh that writes down its arguments and runs the command here. */
  const ssh = join(folder, 'ssh')
  writeFileSync(
    ssh,
    `#!/bin/sh
    printf '%s\\n' "$@" > '${folder}/arguments'
    while [ "$1" != -- ]; do shift; done
    [ "$2" != nobody ] || { echo 'Host key verification failed.' >&2; exit 255; }
    shift 2
    exec sh -c "$*"\n`,
  )
  chmodSync(ssh, 0o755)

  test('any text is one word of the far shell, and any bytes are its input', async () => {
    const remote = openRemote('pi@host', ssh)
    const script = String.raw`printf %s "it's $0 \\ ok" && wc -c`
    const input = Uint8Array.from({ length: 70_000 }, (_, i) => i % 256)
    const { code, stdout } = await remote.run(script, input)
    expect([code, stdout.replace(/ +/g, ' ')]).toEqual([0, `it's sh \\ ok70000\n`])
    fc.assert(
      fc.property(fc.string({ unit: 'binary-ascii' }), (text) => {
        const plain = text.replaceAll('\0', '')
        const said = spawnSync('sh', ['-c', `printf %s ${quoted(plain)}`], { encoding: 'latin1' })
        expect(said.stdout).toBe(plain)
      }),
      { numRuns: 50 },
    )
  })

  test('nobody is asked, and what ssh is told about host keys is up to its own configuration', async () => {
    await openRemote('pi@host', `${ssh} -p 2222`).run('true')
    const given = readFileSync(join(folder, 'arguments'), 'utf8')
    expect(given).toMatch(/^-p\n2222\n-o\nBatchMode=yes\n/)
    expect(given).not.toMatch(/StrictHostKeyChecking|UserKnownHosts/)
  })

  test('no way to it, and no name that ssh would take for an option', async () => {
    const asked = openRemote('nobody', ssh).run('true')
    await expect(asked).rejects.toMatchObject({ code: 'pi/no-ssh' })
    await expect(asked).rejects.toThrow('ssh nobody')
    for (const target of ['-oProxyCommand=x', 'pi@-oProxyCommand=x', '', 'pi@host; x', 'a b'])
      expect(codeThrown(() => openRemote(target, ssh))).toBe('cli/usage')
    const nothing = openRemote('pi@host', join(folder, 'nothing')).run('true')
    await expect(nothing).rejects.toMatchObject({ code: 'pi/no-ssh' })
  })
})
