/** What "pi prepare" puts on a card, where, and what the Pi makes of the machine's part. */
import { execFileSync, spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { nodeConfig, parseConfig } from '#config'
import { createAuthority } from '#identity'
import { systemRandom } from '#service'
import { placeFiles } from '../../apps/cli/pi-target.ts'
import { bootPartitionOffset } from '../../apps/pi/boot-partition.ts'
import { inspectCard } from '../../apps/pi/card.ts'
import { cloudInitFiles } from '../../apps/pi/cloud-init.ts'
import { overwriteClusters } from '../../apps/pi/fat.ts'
import { configureMachine } from '../../apps/pi/machine.ts'
import { requirePiBoot, writeFat } from '../../apps/pi/mtools.ts'
import { prepareCard, type NodeWishes } from '../../apps/pi/prepare.ts'
import { writeRepository } from '../../apps/pi/repository.ts'
import { pskOf } from '../../apps/pi/wifi.ts'
import { codeThrown } from '../support/coded.ts'
import { makeImage } from '../support/image.ts'

let folder = ''
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'fogmeter-prepare-'))))
afterEach(() => rmSync(folder, { recursive: true, force: true }))
const at = (...parts: string[]) => join(folder, ...parts)

const hasTools = ['mcopy', 'mkfs.vfat', 'sfdisk'].every(
  (tool) => spawnSync('which', [tool]).status === 0,
)

describe('Wi-Fi', () => {
  test.each([
    // IEEE 802.11-2012 M.4.3, test cases 1 to 3.
    ['IEEE', 'password', 'f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e'],
    [
      'ThisIsASSID',
      'ThisIsAPassword',
      '0dc0d6eb90555ed6419756b9a15ec3e3209b63df707dd508d14581f8982721af',
    ],
    [
      'Z'.repeat(32),
      'a'.repeat(32),
      'becb93866bb8c3832cb777c2f559807c8c59afcb6eae734885001300a981cc62',
    ],
  ])('the key of %s', (ssid, passphrase, psk) => {
    expect(pskOf(ssid, passphrase)).toBe(psk)
    expect(pskOf(ssid, psk.toUpperCase())).toBe(psk)
  })

  test.each(['', 'short', 'g'.repeat(64), 'pässword'])('%j is no passphrase', (text) => {
    expect(codeThrown(() => pskOf('home', text))).toBe('pi/bad-wifi')
    expect(codeThrown(() => pskOf('☕'.repeat(11), 'a good passphrase'))).toBe('pi/bad-wifi')
  })
})

const wishes = (): NodeWishes => ({
  fog: 'FN_01.b',
  cloud: { url: 'mqtts://cloud.example', node: 'cloud-x' },
  api: { url: 'https://cloud.example' },
  wifi: { ssid: 'the "kitchen"\\ ☕', passphrase: 'correct horse', country: 'DE' },
  timeZone: 'Europe/Berlin',
  authority: at('authority/authority.pub'),
})
const register = async () => ({ cloud: 'cloud-b' })

const prepare = (changes: Partial<NodeWishes> = {}) =>
  prepareCard({ ...wishes(), ...changes }, { register, random: systemRandom })

describe('settings', () => {
  beforeEach(() => void createAuthority(at('authority')))

  test('are right for the Pi; the passphrase is not in them, the cloud says its name', async () => {
    const { files } = await prepare()
    const text = files.get('node.toml') as string
    const config = parseConfig(nodeConfig, text, '/boot/node.toml')
    expect(config.cloud).toEqual([{ node: 'cloud-b', url: 'mqtts://cloud.example' }])
    expect(config.wifi).toEqual({
      ssid: 'the "kitchen"\\ ☕',
      psk: pskOf('the "kitchen"\\ ☕', 'correct horse'),
      country: 'DE',
    })
    expect(text).not.toContain('correct horse')
    expect([...files.keys()].at(-1)).toBe('node.toml')
  })

  test('by mDNS it says where it is, unless that is not wished', async () => {
    for (const changes of [{}, { mdns: true }, { mdns: false }]) {
      const text = (await prepare(changes)).files.get('node.toml') as string
      const { mdns } = parseConfig(nodeConfig, text, '/boot/node.toml').discovery
      expect(mdns).toBe(changes.mdns ?? true)
    }
  })

  test.each<[string, Partial<NodeWishes>, string]>([
    ['a name that is none', { fog: '../x' }, 'config/invalid'],
    ['a broker that is none', { cloud: { url: 'http://x', node: 'a' } }, 'config/invalid'],
    ['an API that is none', { api: { url: 'cloud.example' } }, 'config/invalid'],
    ['a password in an address', { api: { url: 'https://u:p@cloud.example' } }, 'config/invalid'],
    ['a time zone that leads elsewhere', { timeZone: '../../etc/shadow' }, 'config/invalid'],
    ['no such authority', { authority: '/nowhere' }, 'identity/missing'],
    ['a bad passphrase', { wifi: { ssid: 'a', passphrase: 'b' } }, 'pi/bad-wifi'],
  ])('%s: refused before a token is registered', async (_, changes, code) => {
    let registered = 0
    const counting = async () => ({ cloud: `cloud-${++registered}` })
    await expect(
      prepareCard({ ...wishes(), ...changes }, { register: counting, random: systemRandom }),
    ).rejects.toMatchObject({ code })
    expect(registered).toBe(0)
  })

  test('the machine: host name, time zone, Wi-Fi, whatever the characters', async () => {
    const { files } = await prepare()
    writeFileSync(at('node.toml'), files.get('node.toml') as string)
    mkdirSync(at('root/usr/share/zoneinfo/Europe'), { recursive: true })
    writeFileSync(at('root/usr/share/zoneinfo/Europe/Berlin'), '')
    for (const _ of [1, 2]) configureMachine(folder, at('root'))
    expect(readFileSync(at('root/etc/hostname'), 'utf8')).toBe('fn-01-b\n')
    expect(readlinkSync(at('root/etc/localtime'))).toBe('../usr/share/zoneinfo/Europe/Berlin')
    const wpa = at('root/etc/wpa_supplicant/wpa_supplicant-wlan0.conf')
    expect(readFileSync(wpa, 'utf8')).toBe(
      `country=DE\nnetwork={\n  ssid=74686520226b69746368656e225c20e29895\n  psk=${pskOf(
        'the "kitchen"\\ ☕',
        'correct horse',
      )}\n}\n`,
    )
    expect(statSync(wpa).mode & 0o777).toBe(0o600)
    writeFileSync(at('node.toml'), (files.get('node.toml') as string).replace('Berlin', 'Atlantis'))
    expect(codeThrown(() => configureMachine(folder, at('root')))).toBe('pi/no-time-zone')
  })
})

const armoured = (middle: string) =>
  `-----BEGIN PGP PUBLIC KEY BLOCK-----\n${middle}\n-----END PGP PUBLIC KEY BLOCK-----\n`

describe('where updates come from', () => {
  const repository = 'https://updates.example/fog meter'
  beforeEach(() => void createAuthority(at('authority')))

  test('from the card to the sources of apt, with the key in them', async () => {
    writeFileSync(at('operator.asc'), armoured('\nmDMEZ0=\n=abcd').replaceAll('\n', '\r\n'))
    const { files } = await prepare({ updates: { repository, key: at('operator.asc') } })
    for (const [name, content] of files) if (content !== null) writeFileSync(at(name), content)
    mkdirSync(at('root/usr/share/zoneinfo/Europe'), { recursive: true })
    writeFileSync(at('root/usr/share/zoneinfo/Europe/Berlin'), '')
    expect(configureMachine(folder, at('root'))).toContain(
      'updates from https://updates.example/fog%20meter',
    )
    const apt = (name: string) => readFileSync(at('root/etc/apt', name), 'utf8')
    expect(apt('sources.list.d/fogmeter.sources')).toBe(
      `Types: deb
URIs: https://updates.example/fog%20meter
Suites: ./
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEZ0=
 =abcd
 -----END PGP PUBLIC KEY BLOCK-----
`,
    )
    expect(apt('preferences.d/fogmeter')).toContain(
      'Package: *\nPin: origin "updates.example"\nPin-Priority: -1\n',
    )
  })

  test.each([
    ['sources.list', 'deb [arch=arm64] http://updates.example:80/debian trixie main\n'],
    ['sources.list.d/debian.sources', 'Types: deb\nURIs: https://updates.example/debian\n'],
  ])('a host that %s is served from too: refused, the rule would shut that out', (file, text) => {
    mkdirSync(at('root/etc/apt/sources.list.d'), { recursive: true })
    const write = () => writeRepository(at('root'), { url: repository, key: armoured('x') })
    writeFileSync(at('root/etc/apt', file), text.replace('updates.', 'deb.'))
    write()
    write()
    writeFileSync(at('root/etc/apt', file), text.replaceAll(/^(?=.)/gm, '# '))
    write()
    writeFileSync(at('root/etc/apt', file), text)
    expect(codeThrown(write)).toBe('pi/shared-host')
  })

  test.each([
    ['nothing', ''],
    ['a secret key', armoured('x').replaceAll('PUBLIC', 'PRIVATE')],
    ['a key and a field of its own', `${armoured('x')}Trusted: yes\n`],
    ['two keys', armoured('x') + armoured('y')],
  ])('%s is no key, and no token is registered', async (_, text) => {
    writeFileSync(at('operator.asc'), text)
    let registered = 0
    const counting = async () => ({ cloud: `cloud-${++registered}` })
    const updates = { repository, key: at('operator.asc') }
    await expect(
      prepareCard({ ...wishes(), updates }, { register: counting, random: systemRandom }),
    ).rejects.toMatchObject({ code: 'pi/bad-key' })
    expect(registered).toBe(0)
  })
})

/** A prepared image; `lines` is a file as large as its clusters. */
function prepared(lines: string, bits: 16 | 32 = 16) {
  const path = at('pi.img')
  makeImage(path, 'dos', bits)
  const fat = { path, offset: bootPartitionOffset(path) }
  writeFat(fat, 'fogmeter', new Map([['node.toml', lines]]))
  expect(readFileSync(path, 'latin1')).toContain('the key of home')
  return { path, fat }
}

function extracted(path: string, offset: number): string {
  writeFileSync(at('fat'), readFileSync(path).subarray(offset))
  return at('fat')
}

describe.skipIf(!hasTools)('boot partitions (skipped without mtools, dosfstools, fdisk)', () => {
  test.each(['dos', 'gpt'] as const)('%s: found, written, and written again', (label) => {
    const path = at('pi.img')
    makeImage(path, label)
    const fat = { path, offset: bootPartitionOffset(path) }
    expect(fat.offset).toBe(1_048_576)
    const read = (name: string) =>
      spawnSync('mtype', ['-i', `${path}@@${fat.offset}`, `::fogmeter/${name}`], {
        encoding: 'utf8',
      })
    writeFat(
      fat,
      'fogmeter',
      new Map([
        ['token', 'one'],
        ['node.toml', 'longer than the next'],
      ]),
    )
    expect([read('token').stdout, read('node.toml').stdout]).toEqual([
      'one',
      'longer than the next',
    ])
    writeFat(
      fat,
      'fogmeter',
      new Map([
        ['token', null],
        ['node.toml', 'short'],
      ]),
    )
    expect(read('node.toml').stdout).toBe('short')
    expect(read('token').status).not.toBe(0)
  })

  test.each<[string, 16 | 32, string | null]>([
    ['written again', 16, 'x'],
    ['removed', 16, null],
    ['written again', 32, 'x'],
    ['removed', 32, null],
  ])('what was in a file is not in the image once it is %s (FAT%d)', (_, bits, content) => {
    const { path, fat } = prepared('the key of home\n'.repeat(1_000), bits)
    const tables = () => readFileSync(path).subarray(0, fat.offset + 512)
    const before = tables()
    writeFat(fat, 'fogmeter', new Map([['node.toml', content]]))
    expect(readFileSync(path, 'latin1')).not.toContain('the key of home')
    expect(tables().equals(before)).toBe(true)
    const kept = execFileSync('mtype', ['-i', `${path}@@${fat.offset}`, '::config.txt'])
    expect(kept.toString()).toContain('arm_64bit')
    expect(spawnSync('fsck.vfat', ['-n', extracted(path, fat.offset)]).status).toBe(0)
  })

  test('a damaged table leads nowhere out of the partition', () => {
    const { path, fat } = prepared('the key of home\n'.repeat(1_000))
    const last = 32_770 // 64 MiB are fewer clusters of 2 KiB
    const before = readFileSync(path)
    for (const range of [
      [2, last],
      [1, 2],
      [5, 4],
      [last, last],
    ] as const)
      expect(codeThrown(() => overwriteClusters(fat, [range]))).toBe('pi/fat-failed')
    expect(readFileSync(path).equals(before)).toBe(true)
  })

  test('a full partition is no success, and leaves no empty file', () => {
    const { path, fat } = prepared('the key of home')
    const on = `${path}@@${fat.offset}`
    const free = Number(
      /([\d ]+) bytes free/
        .exec(execFileSync('mdir', ['-i', on]).toString())?.[1]
        ?.replaceAll(' ', ''),
    )
    execFileSync('mcopy', ['-i', on, '-', '::fill'], { input: Buffer.alloc(free, 1) })
    const files = new Map([
      ['token', 'one'],
      ['node.toml', 'two'],
    ])
    expect(codeThrown(() => writeFat(fat, 'fogmeter', files))).toBe('pi/fat-failed')
    expect(spawnSync('mdir', ['-i', on, '-b', '::fogmeter/token']).status).not.toBe(0)
  })

  test('no Pi starts from it: refused', () => {
    const { path, fat } = prepared('the key of home')
    expect(() => requirePiBoot(fat)).not.toThrow()
    execFileSync('mdel', ['-i', `${path}@@${fat.offset}`, '::config.txt'])
    expect(codeThrown(() => requirePiBoot(fat))).toBe('pi/no-boot-partition')
  })

  test('an image that ends before its last partition does: refused', () => {
    const { path } = prepared('the key of home')
    const whole = readFileSync(path)
    writeFileSync(path, whole.subarray(0, 512 * (2_048 + 131_072)))
    expect(bootPartitionOffset(path)).toBe(1_048_576)
    writeFileSync(path, whole.subarray(0, 512 * (2_048 + 131_072) - 1))
    expect(codeThrown(() => bootPartitionOffset(path))).toBe('pi/cut-image')
  })

  const disk = ['/dev/loop0', '/dev/vda', '/dev/sda'].find((path) => existsSync(path)) ?? ''
  test.skipIf(disk === '')(
    'a disk is no image: it needs --device, which looks and asks',
    async () => {
      const refused = placeFiles({ image: disk })
      await expect(refused).rejects.toMatchObject({ code: 'cli/usage' })
      await expect(refused).rejects.toThrow('--device')
    },
  )

  test.each([
    ['packed', Buffer.from('fd377a585a000000', 'hex'), 'pi/packed-image'],
    ['empty', Buffer.alloc(0), 'pi/no-boot-partition'],
    ['without a table', Buffer.alloc(4_096, 7), 'pi/no-boot-partition'],
  ])('%s: refused', (_, content, code) => {
    writeFileSync(at('x.img'), content)
    expect(codeThrown(() => bootPartitionOffset(at('x.img')))).toBe(code)
  })

  test('a table whose partition was cut off', () => {
    makeImage(at('pi.img'))
    writeFileSync(at('cut.img'), readFileSync(at('pi.img')).subarray(0, 512))
    expect(codeThrown(() => bootPartitionOffset(at('cut.img')))).toBe('pi/no-boot-partition')
    for (const path of [at('none.img'), folder])
      expect(codeThrown(() => bootPartitionOffset(path))).toBe('pi/no-file')
  })
})

const deb = () => at('fogmeter_0.1.0_arm64.deb')

const into = async (files: string, changes: Partial<NodeWishes> = {}) => {
  const target = await placeFiles({ files, deb: deb() })
  target.write((await prepare(changes)).files)
}

describe('files for Raspberry Pi OS', () => {
  beforeEach(() => {
    createAuthority(at('authority'))
    writeFileSync(deb(), '!<arch>\ndebian-binary')
  })
  test('what is secret is for its owner, and a token of before is gone', async () => {
    await into(at('boot'))
    for (const name of ['fogmeter/token', 'fogmeter/node.toml', 'network-config'])
      expect([name, statSync(at('boot', name)).mode & 0o777]).toEqual([name, 0o600])
    const { fog: _, ...unnamed } = wishes()
    const { files } = await prepareCard(unnamed, { register, random: systemRandom })
    ;(await placeFiles({ files: at('boot'), deb: deb() })).write(files)
    expect(existsSync(at('boot/fogmeter/token'))).toBe(false)
  })

  test.each([
    ['no package', 'fogmeter_0.1.0_arm64.deb', 'text'],
    ['for another architecture', 'fogmeter_0.1.0_amd64.deb', '!<arch>\n'],
    ['another package', 'mosquitto_2.0_arm64.deb', '!<arch>\n'],
  ])('%s: refused before anything is written', async (_, name, content) => {
    writeFileSync(at(name), content)
    const refused = placeFiles({ files: at('boot'), deb: at(name) })
    await expect(refused).rejects.toMatchObject({ code: 'cli/usage' })
    expect(existsSync(at('boot'))).toBe(false)
  })
})

describe('cards', () => {
  const [name, path] = ['loop0', '/dev/loop0']
  const hasDevice = existsSync(path)

  /** A machine whose loop device says it is a card of 32 GB. */
  function system(changes: Record<string, string> = {}, mounts = '/dev/sda1 / ext4 rw 0 0\n') {
    const files = {
      removable: '1\n',
      size: '62521344\n',
      'device/model': 'Card Reader\n',
      ...changes,
    }
    for (const [file, content] of Object.entries(files)) {
      mkdirSync(join(at('sys/class/block', name, file), '..'), { recursive: true })
      writeFileSync(at('sys/class/block', name, file), content)
    }
    writeFileSync(at('mounts'), mounts)
    return { sys: at('sys'), mounts: at('mounts') }
  }

  test.skipIf(!hasDevice)('a removable one, nothing of it mounted', () => {
    const bytes = 62_521_344 * 512
    expect(inspectCard(path, system())).toEqual({ name, model: 'Card Reader', bytes })
    const slot = system({ removable: '0\n', 'device/type': 'SD\n' })
    expect(inspectCard(path, slot).name).toBe(name)
  })

  test.skipIf(!hasDevice).each<[string, Record<string, string>, string, string]>([
    ['built in', { removable: '0\n' }, '', 'pi/not-removable'],
    ['a partition', { partition: '1\n' }, '', 'pi/not-a-card'],
    ['mounted as a whole', {}, '/dev/loop0 /media/card vfat rw 0 0\n', 'pi/card-mounted'],
    [
      'mounted in part',
      { 'loop0p1/partition': '1' },
      '/dev/loop0p1 /mnt vfat rw 0 0\n',
      'pi/card-mounted',
    ],
  ])('%s: refused', (_, changes, mounts, code) => {
    expect(codeThrown(() => inspectCard(path, system(changes, mounts)))).toBe(code)
  })

  test('a file, and nothing at all', () => {
    const files = system()
    expect(codeThrown(() => inspectCard(at('mounts'), files))).toBe('pi/not-a-card')
    expect(codeThrown(() => inspectCard('/dev/none', files))).toBe('pi/no-file')
  })
})

test('cloud-init: a host name, the package, the units, the network', () => {
  const text = `
    fog.name = "FN_01"
    system.time_zone = "Europe/Berlin"
    enrolment.url = "https://cloud.example"
    [[cloud]]
    node = "cloud-a"
    url = "mqtts://cloud.example"
    [wifi]
    ssid = 'a "b": {c}'
    country = "DE"
    psk = "${'0f'.repeat(32)}"
    [updates]
    repository = "https://updates.example/fogmeter"
    key = "repository.asc"`
  const config = parseConfig(nodeConfig, text, 'node.toml')
  const files = cloudInitFiles({ config, instance: 'fogmeter-1', deb: 'fogmeter_0.1.0_arm64.deb' })
  const user = files.get('user-data') ?? ''
  expect(user.startsWith('#cloud-config\n')).toBe(true)
  expect(JSON.parse(user.split('\n').slice(1).join('\n'))).toMatchObject({
    hostname: 'fn-01',
    timezone: 'Europe/Berlin',
    runcmd: [
      ['apt-get', 'install', '--yes', '/boot/firmware/fogmeter/fogmeter_0.1.0_arm64.deb'],
      ['systemctl', 'enable', 'fogmeter-first-boot', 'fogmeter-broker', 'fogmeter-agent'],
      [
        'systemctl',
        'start',
        '--no-block',
        'fogmeter-first-boot',
        'fogmeter-broker',
        'fogmeter-agent',
      ],
      [
        'fogmeter',
        'pi',
        'repository',
        'https://updates.example/fogmeter',
        '--key',
        '/boot/firmware/fogmeter/repository.asc',
      ],
      ['systemctl', 'enable', '--now', 'fogmeter-update.timer'],
    ],
  })
  expect(JSON.parse(files.get('network-config') ?? '')).toMatchObject({
    version: 2,
    wifis: {
      wlan0: {
        'regulatory-domain': 'DE',
        'access-points': { 'a "b": {c}': { password: '0f'.repeat(32) } },
      },
    },
  })
  expect(JSON.parse(files.get('meta-data') ?? '')).toEqual({ 'instance-id': 'fogmeter-1' })
})
