/** What node.toml says about the machine itself, for those parts of the system that read it elsewhere. */
import { existsSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { loadConfig, nodeConfig, type NodeConfig } from '#config'
import { CodedError } from '#errors'
import { createFolder, replaceFile } from '#identity'
import { hostNameOf } from './cloud-init.ts'
import { bootFiles } from './node-files.ts'
import { readRepositoryKey, writeRepository } from './repository.ts'

/** Returns what it set, in words. @throws pi/no-file, pi/no-time-zone, pi/bad-key, config/invalid */
export function configureMachine(boot: string, root: string): string[] {
  const { settings } = bootFiles(boot)
  if (!existsSync(settings)) throw new CodedError('pi/no-file', `${settings} does not exist`)
  const { fog, wifi, system, updates } = loadConfig(nodeConfig, settings)
  return [
    ...(fog.name === undefined ? [] : [setHostname(root, fog.name)]),
    ...(system.timeZone === undefined ? [] : [setTimeZone(root, system.timeZone)]),
    ...(wifi === undefined ? [] : [setWifi(root, wifi)]),
    ...(updates === undefined ? [] : [setUpdates(root, updates)]),
  ]
}

function setHostname(root: string, name: string): string {
  const host = hostNameOf(name)
  write(join(root, 'etc/hostname'), `${host}\n`)
  return `host name ${host}`
}

/** localtime(5). */
function setTimeZone(root: string, name: string): string {
  const zone = `usr/share/zoneinfo/${name}`
  if (!existsSync(join(root, zone)))
    throw new CodedError('pi/no-time-zone', `there is no time zone ${name}; mend node.toml`)
  const link = join(root, 'etc/localtime')
  rmSync(`${link}.new`, { force: true })
  createFolder(dirname(link), 0o755)
  symlinkSync(`../${zone}`, `${link}.new`)
  renameSync(`${link}.new`, link)
  return `time zone ${name}`
}

/** wpa_supplicant.conf(5); the name in hexadecimal, so that no character in it means anything. */
function setWifi(root: string, { ssid, psk, country }: NodeConfig['wifi'] & object): string {
  const lines = [
    ...(country === undefined ? [] : [`country=${country}`]),
    'network={',
    `  ssid=${Buffer.from(ssid).toString('hex')}`,
    `  psk=${psk}`,
    '}',
  ]
  write(join(root, 'etc/wpa_supplicant/wpa_supplicant-wlan0.conf'), `${lines.join('\n')}\n`, true)
  return `Wi-Fi "${ssid}"`
}

function setUpdates(root: string, { repository, key }: NodeConfig['updates'] & object): string {
  return writeRepository(root, { url: repository, key: readRepositoryKey(key) })
}

function write(path: string, content: string, secret = false): void {
  createFolder(dirname(path), 0o755)
  replaceFile(path, content, secret)
}
