/** What lies on the boot partition and what the Pi makes of it. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { loadConfig, nodeConfig, type NodeConfig } from '#config'
import { CodedError } from '#errors'
import { readFile, readPublicKeyFile } from '#identity'

/** The folder `fogmeter` on the boot partition, which FAT gives no owner and no mode. */
export interface BootFiles {
  settings: string
  authority: string
  token: string
}

/** Below the state folder: readable by root alone, the only place where the key was ever written. */
export interface NodeFiles {
  folder: string
  key: string
  credential: string
  /** Digest of what the program configurations were last made from. */
  placed: string
}

export function bootFiles(boot: string): BootFiles {
  return {
    settings: join(boot, 'node.toml'),
    authority: join(boot, 'authority.pub'),
    token: join(boot, 'token'),
  }
}

export function nodeFiles(state: string): NodeFiles {
  const folder = join(state, 'node')
  return {
    folder,
    key: join(folder, 'agent.key'),
    credential: join(folder, 'agent.cwt'),
    placed: join(folder, 'placed'),
  }
}

const PREPARE = 'write it with "fogmeter pi prepare"'

export interface BootSettings {
  config: NodeConfig
  /** node.toml as it stands. */
  text: Uint8Array
  authorityKey: Uint8Array
  /** null when there is none, or none any more. */
  token: string | null
}

/** @throws pi/no-file, config/invalid, identity/… */
export function readBoot(boot: string): BootSettings {
  const { settings, authority, token } = bootFiles(boot)
  if (!existsSync(settings))
    throw new CodedError('pi/no-file', `${settings} does not exist; ${PREPARE}`)
  return {
    config: loadConfig(nodeConfig, settings),
    text: readFile(settings, PREPARE),
    authorityKey: readPublicKeyFile(authority, PREPARE),
    token: existsSync(token) ? Buffer.from(readFile(token, PREPARE)).toString('latin1') : null,
  }
}
