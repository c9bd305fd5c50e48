/** The image as far as it can be seen without making one: each check finds what it is for. */
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import * as v from 'valibot'
import { loadConfig, parseConfig } from '#config'
import { baseName, packagesOf } from '../../pi-image/base.ts'
import { checkImage } from '../../pi-image/checks.ts'
import { imageConfig } from '../../pi-image/config.ts'
import type { ImageFacts } from '../../pi-image/facts.ts'
import { makeManifest, manifest } from '../../pi-image/manifest.ts'
import { modelsOf } from '../../pi-image/models.ts'
import { imageBill, parsePackages } from '../../pi-image/sbom.ts'
import { sign } from '../../pi-image/sign.ts'

const root = join(import.meta.dirname, '../..')
const own = join(root, 'pi-image')
const folder = mkdtempSync(join(tmpdir(), 'fogmeter-pi-image-'))
afterAll(() => rmSync(folder, { recursive: true }))

const models = modelsOf('stock')
const kernel = 'vmlinuz-6.12-arm64'

const sound: ImageFacts = {
  diskId: '0f06b007',
  partitions: [{ type: 0x0c, start: 2 ** 22, bytes: 2 ** 28 }],
  bootLabel: 'FIRMWARE',
  bootFiles: [
    kernel,
    'initrd.img-6.12-arm64',
    'config.txt',
    'cmdline.txt',
    'overlays/vc4.dtbo',
    ...models.flatMap(({ dtb, firmware }) => [dtb, ...firmware]),
  ],
  configTxt: `arm_64bit=1\nupstream_kernel=1 # Debian's\nkernel=${kernel}\ninitramfs initrd.img-6.12-arm64\ndtoverlay=vc4,audio=off\n`,
  cmdline: 'console=tty0 root=PARTUUID=0f06b007-02 rootfstype=squashfs ro rootwait\n',
  squashfs: true,
  fstab: readFileSync(join(own, 'root/etc/fstab'), 'utf8'),
  dataLabel: 'fogmeter-data',
}
const without = (name: string) => sound.bootFiles.filter((file) => file !== name)

describe('static checks', () => {
  test('a sound image', () => expect(checkImage(sound, models)).toEqual([]))

  test.each<[string, Partial<ImageFacts>, RegExp]>([
    ['no kernel', { bootFiles: without(kernel) }, /names vmlinuz-6.12-arm64, which is not/],
    ['no initramfs', { bootFiles: without('initrd.img-6.12-arm64') }, /names initrd/],
    ['no overlay', { bootFiles: without('overlays/vc4.dtbo') }, /names overlays\/vc4.dtbo/],
    ['no firmware', { bootFiles: without('start4.elf') }, /Pi 4 Model B needs start4.elf/],
    ...models.map(({ name, dtb }): [string, Partial<ImageFacts>, RegExp] => [
      `no ${dtb}`,
      { bootFiles: without(dtb) },
      new RegExp(`${name.replace('+', '\\+')} needs ${dtb}`),
    ]),
    ['config.txt empty', { configTxt: '' }, /names no kernel/],
    ['a 32-bit boot', { configTxt: sound.configTxt.replace('=1', '=0') }, /arm_64bit=1/],
    ['another disk', { diskId: '12345678' }, /does not say root=PARTUUID=12345678-02/],
    ['no squashfs', { squashfs: false }, /do not agree/],
    ['writable', { cmdline: sound.cmdline.replace(' ro ', ' rw ') }, /read-only/],
    ['impatient', { cmdline: sound.cmdline.replace(' rootwait', '') }, /wait for the card/],
    ['two lines', { cmdline: `${sound.cmdline}quiet\n` }, /more than one line/],
    ['not FAT32', { partitions: [{ type: 0x83, start: 0, bytes: 1 }] }, /not FAT32/],
    ['other boot label', { bootLabel: 'BOOT' }, /LABEL=FIRMWARE, and no partition/],
    ['other data label', { dataLabel: 'data' }, /does not mount the partition data/],
    ['fstab strict', { fstab: sound.fstab.replace('nofail,x', 'x') }, /without nofail/],
  ])('%s', (_, change, complaint) => {
    expect(checkImage({ ...sound, ...change }, models).join('\n')).toMatch(complaint)
  })
})

test('a Pi 5 is claimed only with the kernel that drives it', () => {
  expect(modelsOf('stock').some(({ name }) => name === 'Pi 5')).toBe(false)
  expect(modelsOf('backports').some(({ name }) => name === 'Pi 5')).toBe(true)
})

describe('manifest for Raspberry Pi Imager', () => {
  const release = {
    version: '1.2.3',
    folder: 'https://example.org/f',
    file: 'x.img.xz',
    image: { bytes: 2 ** 29, sha256: 'a'.repeat(64) },
    download: { bytes: 2 ** 27, sha256: 'b'.repeat(64) },
    date: '2026-11-26',
    devices: ['pi3-64bit', 'pi3-64bit', 'pi4-64bit'],
  }

  test('is one entry, for the image and not the file that is downloaded', () => {
    const [entry] = makeManifest(release).os_list
    expect(entry).toMatchObject({
      url: 'https://example.org/f/x.img.xz',
      extract_sha256: 'a'.repeat(64),
      devices: ['pi3-64bit', 'pi4-64bit'],
      init_format: 'none',
    })
  })

  test.each(
    'name description icon url extract_size extract_sha256 image_download_size release_date devices'.split(
      ' ',
    ),
  )('without %s it is refused', (key) => {
    const made = makeManifest(release)
    const { [key]: _, ...rest } = made.os_list[0] as Record<string, unknown>
    expect(v.is(manifest, { os_list: [rest] })).toBe(false)
  })

  test.each([
    ['extract_sha256', 'A'.repeat(64)],
    ['extract_size', 1.5],
    ['devices', []],
    ['release_date', '26.11.2026'],
    ['init_format', 'firstrun'],
    ['url', 'https://example.org/x.img.zst'],
  ])('%s: %j is refused', (key, value) => {
    const [entry] = makeManifest(release).os_list
    expect(v.is(manifest, { os_list: [{ ...entry, [key]: value }] })).toBe(false)
  })
})

test('the bill of materials has npm and Debian packages', () => {
  const lines = 'libc6\t2.41-12\tarm64\tglibc\t2.41-12\nfogmeter\t1\tarm64\tfogmeter\t1\n'
  const bill = JSON.parse(imageBill(root, parsePackages(lines), 'trixie')) as {
    components: { name: string; purl: string }[]
  }
  const purls = bill.components.map(({ purl }) => purl)
  expect(purls).toContain('pkg:deb/debian/libc6@2.41-12?arch=arm64&distro=debian-trixie')
  expect(purls.some((purl) => purl.startsWith('pkg:npm/aedes@'))).toBe(true)
  expect(purls.some((purl) => purl.startsWith('pkg:deb/debian/fogmeter'))).toBe(false)
})

async function digest(path: string): Promise<{ sha256: string }> {
  return { sha256: createHash('sha256').update(readFileSync(path)).digest('hex') }
}

describe('signature', () => {
  const key = join(folder, 'release.key')
  const pub = join(folder, 'release.pub')
  execFileSync('openssl', ['genpkey', '-algorithm', 'ed25519', '-out', key])
  execFileSync('openssl', ['pkey', '-in', key, '-pubout', '-out', pub])
  const verify = () => {
    const sums = join(folder, 'SHA256SUMS')
    const args = ['pkeyutl', '-verify', '-pubin', '-inkey', pub, '-rawin', '-in', sums]
    return spawnSync('openssl', [...args, '-sigfile', `${sums}.sig`]).status
  }

  test('openssl and sha256sum check it, and see what was changed', async () => {
    writeFileSync(join(folder, 'x.img'), 'image')
    await sign(folder, ['x.img'], key, digest)
    expect(verify()).toBe(0)
    const check = () => spawnSync('sha256sum', ['-c', 'SHA256SUMS'], { cwd: folder }).status
    expect(check()).toBe(0)
    writeFileSync(join(folder, 'x.img'), 'imagf')
    expect(check()).not.toBe(0)
    const sums = readFileSync(join(folder, 'SHA256SUMS'), 'utf8')
    writeFileSync(join(folder, 'SHA256SUMS'), sums.replace('x.img', 'y.img'))
    expect(verify()).not.toBe(0)
  })
})

describe('configuration', () => {
  test('what lies in the folder is valid, and the values it shows are the defaults', () => {
    const path = join(own, 'config.toml')
    const given = loadConfig(imageConfig, path)
    expect(given).toEqual(parseConfig(imageConfig, 'suite = "trixie"', path))
  })

  test.each(['kernel = "rt"', 'watchdog_seconds = 16', 'password = "x"'])(
    '%s is refused',
    (line) => {
      expect(() => parseConfig(imageConfig, `suite = "trixie"\n${line}`, 'x.toml')).toThrow(
        'x.toml',
      )
    },
  )

  test('no SSH server unless there are keys, no updates unless they are wanted', () => {
    const config = parseConfig(imageConfig, 'suite = "trixie"', 'x.toml')
    expect(packagesOf(config).join()).not.toMatch(/ssh|unattended/)
    expect(packagesOf({ ...config, sshKeys: 'k' })).toContain('openssh-server')
    expect(packagesOf({ ...config, securityUpdates: true })).toContain('unattended-upgrades')
  })

  test('another base for other packages, another kernel, another release', () => {
    const config = parseConfig(imageConfig, 'suite = "trixie"', 'x.toml')
    const names = [
      config,
      { ...config, securityUpdates: true },
      { ...config, suite: 'forky' },
      { ...config, kernel: 'backports' as const },
    ].map((each) => baseName(own, each))
    expect(new Set(names).size).toBe(4)
    expect(baseName(own, { ...config, watchdogSeconds: 10 })).toBe(names[0])
  })
})

test('what grows the data partition does not wait for it to be mounted', () => {
  const units = join(own, 'root/etc/systemd/system')
  const grow = readFileSync(join(units, 'fogmeter-grow.service'), 'utf8')
  expect(grow).toContain('Before=systemd-fsck@dev-disk-by\\x2dlabel-fogmeter\\x2ddata.service')
  // A drop-in of the prefix would be one for this unit too.
  expect(existsSync(join(units, 'fogmeter-.service.d'))).toBe(false)
  for (const name of ['broker', 'agent']) {
    const dropIn = join(units, `fogmeter-${name}.service.d/image.conf`)
    expect(readFileSync(dropIn, 'utf8')).toContain(
      'RequiresMountsFor=/etc/fogmeter /var/lib/fogmeter',
    )
  }
})

test('programs of an update may be executed, and nothing else of the data partition', () => {
  const mounts = readFileSync(join(own, 'root/etc/fstab'), 'utf8')
    .split('\n')
    .filter((line) => /^(LABEL=fogmeter-data|\/)/.test(line))
    .map((line) => line.split(/\s+/))
  expect(mounts.find(([what]) => what === 'LABEL=fogmeter-data')?.[3]).toContain('noexec')
  const executable = mounts.filter(([, , , options = '']) => options.split(',').includes('exec'))
  expect(executable.map(([what, where]) => [what, where])).toEqual([
    ['/var/lib/fogmeter/versions', '/var/lib/fogmeter-versions'],
  ])
  expect(readFileSync(join(own, 'disk.sh'), 'utf8')).toContain('\nmkdir versions\n')
})

test.each(['base.sh', 'root.sh', 'disk.sh', 'build', 'root/usr/lib/fogmeter-image/grow'])(
  '%s is a script that ends at its first failure',
  (name) => {
    const text = readFileSync(join(own, name), 'utf8')
    const shell = text.startsWith('#!/bin/bash') ? 'bash' : 'sh'
    expect(spawnSync(shell, ['-n', join(own, name)]).status).toBe(0)
    expect(text).toMatch(/^set -euo? ?/m)
  },
)

/** What rpi-image-gen's own `metadata --lint` looks at, and the files the hooks name. */
function lintLayer(text: string): string[] {
  const [, header = '', body = ''] =
    /^# METABEGIN\n((?:#.*\n)*?)# METAEND\n---\n([^]*)$/.exec(text) ?? []
  const field = (name: string) => new RegExp(`^# ${name}: (.+)$`, 'm').exec(header)?.[1]
  const problems = [
    'X-Env-Layer-Name',
    'X-Env-Layer-Desc',
    'X-Env-Layer-Category',
    'X-Env-VarPrefix',
  ]
    .filter((name) => field(name) === undefined)
    .map((name) => `no ${name}`)
  if (!/^\d+\.\d+\.\d+$/.test(field('X-Env-Layer-Version') ?? '')) problems.push('no version')
  const variables = [...header.matchAll(/^# X-Env-Var-(\w+):/gm)].map(([, name]) => name ?? '')
  for (const name of variables)
    for (const part of ['Desc', 'Required', 'Valid', 'Set'])
      if (field(`X-Env-Var-${name}-${part}`) === undefined) problems.push(`${name}: no ${part}`)
  for (const line of header.split('\n'))
    if (!/^(# X-Env-[\w-]+: |#  \S|#$|$)/.test(line)) problems.push(`not of RFC 822: ${line}`)
  for (const [, name = ''] of body.matchAll(/\$IGconf_fogmeter_(\w+)/g))
    if (!variables.includes(name)) problems.push(`${name} is not declared`)
  for (const [, file = ''] of body.matchAll(/\$IGconf_fogmeter_files\/(\S+)"/g))
    if (!existsSync(join(own, 'root', file))) problems.push(`there is no ${file}`)
  if (!/^mmdebstrap:\n( {2}(packages|customize-hooks):\n( {4}- \S.*\n)+)+$/.test(body))
    problems.push('the body is not packages and hooks')
  return problems
}

describe('layer for rpi-image-gen', () => {
  const layer = readFileSync(join(own, 'rpi-image-gen/fogmeter.yaml'), 'utf8')

  test('is sound', () => expect(lintLayer(layer)).toEqual([]))

  test.each([
    ['# METABEGIN', '# BEGIN', 'no X-Env-Layer-Name'],
    ['Layer-Version: 1.0.0', 'Layer-Version: 1.0', 'no version'],
    ['# X-Env-Var-deb-Valid: string\n', '', 'deb: no Valid'],
    ['#  fogmeter with', '# fogmeter with', 'not of RFC 822'],
    ['IGconf_fogmeter_deb', 'IGconf_fogmeter_package', 'package is not declared'],
    ['etc/nftables.conf', 'etc/nft.conf', 'there is no etc/nft.conf'],
    ['  packages:', '  package:', 'the body is not'],
  ])('with %j changed to %j it is not', (from, to, complaint) => {
    expect(lintLayer(layer.replace(from, to)).join('\n')).toContain(complaint)
  })
})
