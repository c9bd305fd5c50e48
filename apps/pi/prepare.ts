/** What makes a card this fog node: its settings, the authority to trust, and a token, once. */
import { stringify } from 'smol-toml'
import { nodeConfig, parseConfig } from '#config'
import { nativeCrypto } from '#crypto-native'
import { newToken, tokenKey } from '#enrolment'
import { readFile, readPublicKeyFile } from '#identity'
import type { Random } from '#ports'
import { readRepositoryKey } from './repository.ts'
import { pskOf } from './wifi.ts'

export interface NodeWishes {
  /** Absent: the node is claimed, and named then. */
  fog?: string
  cloud: { url: string; node: string; ca?: string }
  /** Base of the cloud's API, as the Pi reaches it. */
  api: { url: string; ca?: string }
  wifi?: { ssid: string; passphrase: string; country?: string }
  timeZone?: string
  /** false: it does not tell its network where it is. */
  mdns?: boolean
  /** Where updates come from; `key` is a file, as gpg exports it. */
  updates?: { repository: string; key: string }
  /** The authority's public key, a file. */
  authority: string
}

/** Contents of the folder `fogmeter` on the boot partition, in the order to write them. */
export type CardFiles = Map<string, string | Uint8Array | null>

/** Registers a token's public key for a name; returns the name of the cloud service. */
export type Register = (key: Uint8Array, name: string) => Promise<{ cloud: string }>

/**
 * Checks everything, registers a new token if there is a name for it, and returns the files. With a
 * token that is registered and not used, nothing is lost: it ends by itself, or with the next one.
 * @throws config/invalid, identity/…, pi/bad-wifi, pi/bad-key, what `register` throws
 */
export async function prepareCard(
  wishes: NodeWishes,
  { register, random }: { register: Register | null; random: Random },
): Promise<{ files: CardFiles; cloud: string }> {
  const fix = 'name the public key of your authority with --authority-key'
  readPublicKeyFile(wishes.authority, fix)
  const { fog, cloud } = wishes
  settingsText(wishes, cloud.node)
  const repositoryKey = wishes.updates === undefined ? null : readRepositoryKey(wishes.updates.key)
  const token = register === null || fog === undefined ? null : newToken(random)
  const node =
    token === null || register === null || fog === undefined
      ? cloud.node
      : (await register(tokenKey(nativeCrypto, token).publicKey, fog)).cloud
  const files: CardFiles = new Map()
  files.set('authority.pub', readFile(wishes.authority, fix))
  if (cloud.ca !== undefined) files.set('cloud-ca.pem', readFile(cloud.ca, 'see --cloud-ca'))
  if (wishes.api.ca !== undefined) files.set('api-ca.pem', readFile(wishes.api.ca, 'see --api-ca'))
  if (repositoryKey !== null) files.set('repository.asc', repositoryKey)
  files.set('token', token === null ? null : `${token}\n`)
  // Last: without it the Pi does nothing.
  files.set('node.toml', settingsText(wishes, node))
  return { files, cloud: node }
}

/** node.toml, checked as the Pi will check it. @throws config/invalid, pi/bad-wifi */
function settingsText(wishes: NodeWishes, node: string): string {
  const { fog, cloud, api, wifi, timeZone, mdns } = wishes
  const repository = wishes.updates?.repository
  const text = stringify({
    ...(fog !== undefined && { fog: { name: fog } }),
    cloud: [{ node, url: cloud.url, ...(cloud.ca !== undefined && { ca: 'cloud-ca.pem' }) }],
    enrolment: { url: api.url, ...(api.ca !== undefined && { ca: 'api-ca.pem' }) },
    ...(wifi !== undefined && {
      wifi: {
        ssid: wifi.ssid,
        psk: pskOf(wifi.ssid, wifi.passphrase),
        ...(wifi.country !== undefined && { country: wifi.country }),
      },
    }),
    ...(mdns !== undefined && { discovery: { mdns } }),
    ...(timeZone !== undefined && { system: { time_zone: timeZone } }),
    ...(repository !== undefined && { updates: { repository, key: 'repository.asc' } }),
  })
  parseConfig(nodeConfig, text, 'node.toml')
  return `# Written by "fogmeter pi prepare"; deploy/examples/node.toml explains every key.\n\n${text}`
}
