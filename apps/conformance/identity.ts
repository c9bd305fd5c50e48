import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { agentConfig, loadConfig } from '#config'
import { CodedError } from '#errors'
import { loadIdentity, type DeviceIdentity } from '#identity'

export interface Where {
  /** A folder that `fogmeter enrol` filled. */
  readonly folder: string | undefined
  /** Instead of that, the configuration of an agent. */
  readonly config: string | undefined
  /** Which device of the folder; needed when there are several. */
  readonly node: string | undefined
}

/** The identity of the node to play. @throws identity/…, config/…, cli/usage */
export function findIdentity({ folder = '.', config, node }: Where): DeviceIdentity {
  if (config !== undefined) return loadIdentity(loadConfig(agentConfig, config).identity)
  const name = node ?? onlyKey(folder)
  return loadIdentity({
    key: join(folder, `${name}.key`),
    credential: join(folder, `${name}.cwt`),
    authority: join(folder, 'authority.pub'),
  })
}

function onlyKey(folder: string): string {
  const names = namesIn(folder)
  const [name, ...more] = names
  if (name === undefined)
    throw new CodedError(
      'identity/missing',
      `there is no key in ${folder}: fill it with "fogmeter enrol fog NAME --out ${folder}"`,
    )
  if (more.length === 0) return name
  throw new CodedError(
    'cli/usage',
    `${folder} has the keys of several devices (${names.join(', ')}): say which with --node NAME`,
  )
}

function namesIn(folder: string): string[] {
  try {
    const keys = readdirSync(folder).filter((file) => file.endsWith('.key'))
    return keys.map((file) => file.slice(0, -'.key'.length)).filter((name) => name !== 'authority')
  } catch (error) {
    throw new CodedError(
      'identity/missing',
      `${folder} cannot be read: give the folder with the node's files`,
      {
        cause: error,
      },
    )
  }
}
