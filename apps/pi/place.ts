/** The configurations and credentials of broker and agent, where their units look for them. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'smol-toml'
import type { NodeConfig } from '#config'
import { createFolder, readFile, replaceFile } from '#identity'
import { bootFiles, type NodeFiles } from './node-files.ts'

export interface PlaceInput {
  boot: string
  /** /etc/fogmeter. */
  etc: string
  /** /var/lib/fogmeter, where the programs keep their stores. */
  state: string
  files: NodeFiles
  name: string
  config: NodeConfig
  /** node.toml as it stands. */
  text: Uint8Array
}

const SOCKET = '/run/fogmeter/broker.sock'
const HEAD = (
  program: string,
) => `# Made from node.toml on the boot partition by "fogmeter pi first-boot", and made
# again when that file changes. ${program}.toml.example explains every key.

`

/**
 * Writes each file in one step, and agent.toml last: the units start nothing before it is there. What
 * is there already stays as it is until node.toml or the credential changes, so that an operator may
 * edit it. Returns whether anything was written.
 */
export function place(input: PlaceInput): boolean {
  const { etc, files, text } = input
  const digest = digestOf(text, readFile(files.credential, ''))
  const agentFile = join(etc, 'agent.toml')
  if (existsSync(agentFile) && placedBefore(files) === digest) return false
  createFolder(etc, 0o755)
  createFolder(join(etc, 'keys'))
  replaceFile(join(etc, 'keys/agent.key'), readFile(files.key, ''), true)
  replaceFile(join(etc, 'agent.cwt'), readFile(files.credential, ''))
  replaceFile(join(etc, 'authority.pub'), readFile(bootFiles(input.boot).authority, ''))
  const clouds = input.config.cloud.map((cloud, index) => placedCloud(cloud, etc, index))
  replaceFile(join(etc, 'broker.toml'), HEAD('broker') + stringify(brokerFile(input)))
  replaceFile(agentFile, HEAD('agent') + stringify(agentFileOf(input, clouds)))
  replaceFile(files.placed, `${digest}\n`)
  return true
}

function placedBefore({ placed }: NodeFiles): string | null {
  return existsSync(placed) ? Buffer.from(readFile(placed, '')).toString('latin1').trim() : null
}

function digestOf(...parts: Uint8Array[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(createHash('sha256').update(part).digest())
  return hash.digest('hex')
}

/** The boot partition is not for the agent to read, so its certificates come along. */
function placedCloud({ node, url, ca }: NodeConfig['cloud'][number], etc: string, index: number) {
  if (ca === undefined) return { node, url }
  const target = join(etc, `cloud-ca-${index}.pem`)
  replaceFile(target, readFile(ca, 'node.toml names it; copy it beside'))
  return { node, url, ca: target }
}

function brokerFile({ name, config }: PlaceInput): object {
  const { mdns } = config.discovery
  return {
    node: name,
    listen: ['mqtt://0.0.0.0:1883'],
    local: { socket: SOCKET },
    discovery: { mdns },
  }
}

function agentFileOf({ etc, state }: PlaceInput, cloud: object[]): object {
  return {
    broker: { url: `unix://${SOCKET}` },
    identity: {
      key: 'credential:agent.key',
      credential: join(etc, 'agent.cwt'),
      authority: join(etc, 'authority.pub'),
    },
    store: { path: join(state, 'agent/fog.db') },
    cloud,
  }
}
