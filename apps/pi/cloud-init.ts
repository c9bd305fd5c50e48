/**
 * The three files by which Raspberry Pi OS, since its version of Debian 13, lets cloud-init set it up:
 * they lie in the root of its boot partition. JSON, which is YAML too, and needs no quoting of its own.
 */
import type { NodeConfig } from '#config'

/** Where the boot partition is once the system runs. */
const BOOT = '/boot/firmware'
const UNITS = ['fogmeter-first-boot', 'fogmeter-broker', 'fogmeter-agent']

export interface CloudInitInput {
  config: NodeConfig
  /** Tells one card from the next; cloud-init does its work once for each. */
  instance: string
  /** Name of the package in the folder `fogmeter`. */
  deb: string
}

/** File name → content. */
export function cloudInitFiles({ config, instance, deb }: CloudInitInput): Map<string, string> {
  return new Map([
    ['meta-data', `${JSON.stringify({ 'instance-id': instance }, null, 2)}\n`],
    ['user-data', `#cloud-config\n${JSON.stringify(userData(config, deb), null, 2)}\n`],
    ['network-config', `${JSON.stringify(networkConfig(config), null, 2)}\n`],
  ])
}

function userData({ fog, system, updates }: NodeConfig, deb: string): object {
  const key = `${BOOT}/fogmeter/repository.asc`
  return {
    ...(fog.name !== undefined && { hostname: hostNameOf(fog.name) }),
    ...(system.timeZone !== undefined && { timezone: system.timeZone }),
    runcmd: [
      ['apt-get', 'install', '--yes', `${BOOT}/fogmeter/${deb}`],
      ['systemctl', 'enable', ...UNITS],
      ['systemctl', 'start', '--no-block', ...UNITS],
      ...(updates === undefined
        ? []
        : [
            ['fogmeter', 'pi', 'repository', updates.repository, '--key', key],
            ['systemctl', 'enable', '--now', 'fogmeter-update.timer'],
          ]),
    ],
  }
}

/** Netplan, version 2; a password of 64 hexadecimal digits is taken as the key itself. */
function networkConfig({ wifi }: NodeConfig): object {
  const wired = { eth0: { dhcp4: true, optional: true } }
  if (wifi === undefined) return { version: 2, ethernets: wired }
  const wireless = {
    dhcp4: true,
    optional: true,
    ...(wifi.country !== undefined && { 'regulatory-domain': wifi.country }),
    'access-points': { [wifi.ssid]: { password: wifi.psk } },
  }
  return { version: 2, ethernets: wired, wifis: { wlan0: wireless } }
}

/** hostname(7): lower-case letters, digits and hyphens. */
export function hostNameOf(name: string): string {
  return name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replace(/-$/, '')
}
