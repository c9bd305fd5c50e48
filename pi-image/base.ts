/** The base: Debian without Fogmeter. It takes minutes, so it is made once for each list of packages. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { filesBelow } from '../deploy/package/files.ts'
import type { ImageConfig } from './config.ts'

const packages = [
  // What boots.
  ...['systemd-sysv', 'udev', 'kmod', 'linux-image-arm64', 'initramfs-tools', 'zstd', 'busybox'],
  ...['raspi-firmware', 'e2fsprogs', 'fdisk', 'dosfstools', 'netbase', 'dbus'],
  // Network, name service, time, firewall.
  ...['iproute2', 'systemd-resolved', 'systemd-timesyncd', 'tzdata', 'nftables'],
  ...['wpasupplicant', 'firmware-brcm80211', 'wireless-regdb'],
  // What Fogmeter's package depends on.
  ...['libstdc++6', 'libgcc-s1', 'init-system-helpers'],
]

/** Debian packages of an image, by its configuration. */
export function packagesOf({ securityUpdates, sshKeys }: ImageConfig): string[] {
  return [
    ...packages,
    ...(securityUpdates ? ['unattended-upgrades'] : []),
    ...(sshKeys === undefined ? [] : ['openssh-server']),
  ].toSorted()
}

/** Everything the base is made from but the time, in one short name. */
export function baseName(folder: string, config: ImageConfig): string {
  const hash = createHash('sha256')
  const { suite, kernel } = config
  hash.update(JSON.stringify({ suite, kernel, packages: packagesOf(config) }))
  hash.update(readFileSync(join(folder, 'base.sh')))
  for (const file of filesBelow(join(folder, 'initramfs'))) {
    hash.update(file).update(readFileSync(join(folder, 'initramfs', file)))
  }
  return `base-${suite}-${kernel}-${hash.digest('hex').slice(0, 16)}.tar`
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
      MIRROR: config.mirror,
      PACKAGES: packagesOf(config).join(','),
      BACKPORTS: config.kernel === 'backports' ? '1' : '',
    },
  })
  return path
}
