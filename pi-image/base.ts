/** The base: Debian without Fogmeter. It takes minutes, so it is made once for each list of packages. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { filesBelow } from '../deploy/package/files.ts'
import { CodedError } from '#errors'
import type { ImageConfig } from './config.ts'

const packages = {
  boot: 'systemd-sysv udev kmod linux-image-arm64 initramfs-tools zstd busybox raspi-firmware',
  system: 'e2fsprogs fdisk dosfstools netbase dbus tzdata',
  network: 'iproute2 systemd-resolved systemd-timesyncd nftables',
  wifi: 'wpasupplicant firmware-brcm80211 wireless-regdb',
  fogmeter: 'libstdc++6 libgcc-s1 init-system-helpers', // what its package depends on
}

/** Debian packages of an image, by its configuration. */
export function packagesOf({ securityUpdates, sshKeys }: ImageConfig): string[] {
  return [
    ...Object.values(packages).flatMap((names) => names.split(' ')),
    ...(securityUpdates ? ['unattended-upgrades'] : []),
    ...(sshKeys === undefined ? [] : ['openssh-server']),
  ].toSorted()
}

/** Everything the base is made from but the time, in one short name. */
export function baseName(folder: string, config: ImageConfig): string {
  const hash = createHash('sha256')
  const { suite, kernel } = config
  hash.update(JSON.stringify({ suite, kernel, packages: packagesOf(config) }))
  for (const file of ['base.sh', 'left-out']) hash.update(readFileSync(join(folder, file)))
  for (const file of filesBelow(join(folder, 'initramfs'))) {
    hash.update(file).update(readFileSync(join(folder, 'initramfs', file)))
  }
  return `base-${suite}-${kernel}-${hash.digest('hex').slice(0, 16)}.tar`
}

function mirrorOfThisMachine(): string {
  const sites = execFileSync('apt-get', ['indextargets', '--format', '$(SITE)'], {
    encoding: 'utf8',
  })
  const mirror = sites.split('\n').find((site) => site.endsWith('/debian'))
  if (mirror !== undefined) return mirror
  throw new CodedError(
    'image/no-mirror',
    "this machine's apt has no Debian mirror; name one as `mirror` in the configuration",
  )
}

/** The base's file; made now when it is not there, or when newest packages are wanted. */
export function base(
  folder: string,
  config: ImageConfig,
  { cache, refresh }: { cache: string; refresh: boolean },
): string {
  const path = join(cache, baseName(folder, config))
  if (refresh) rmSync(path, { force: true })
  if (existsSync(path)) return path
  mkdirSync(cache, { recursive: true })
  execFileSync(join(folder, 'base.sh'), [path], {
    stdio: ['ignore', 2, 2],
    env: {
      ...process.env,
      SUITE: config.suite,
      MIRROR: config.mirror ?? mirrorOfThisMachine(),
      PACKAGES: packagesOf(config).join(','),
      BACKPORTS: config.kernel === 'backports' ? '1' : '',
    },
  })
  return path
}
