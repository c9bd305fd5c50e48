/** The examples of deploy/examples, with the paths of an installed package. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const authority = ['"identities/authority.pub"', '"/etc/fogmeter/authority.pub"'] as const
const socket = '/run/fogmeter/broker.sock'

/** Where each program's keys, stores and sockets are on an installed machine, and how it is started. */
const changes = {
  broker: [
    ['"run/broker.sock"', `"${socket}"`],
    ['fogmeter broker run --config broker.toml', 'systemctl enable --now fogmeter-broker'],
  ],
  agent: [
    ['"unix:run/broker.sock"', `"unix://${socket}"`],
    ['"identities/fog-1.key"', '"credential:agent.key"'],
    [
      '# Private key, readable by this user only.',
      '# Private key: /etc/fogmeter/keys/agent.key, handed over by systemd.',
    ],
    ['"identities/fog-1.cwt"', '"/etc/fogmeter/agent.cwt"'],
    authority,
    ['revocations = "identities/revoked.cose"', '# revocations = "/etc/fogmeter/revoked.cose"'],
    ['read again when it changes.', 'read again when it changes. Cloud services pass it on.'],
    ['"data/fog.db"', '"/var/lib/fogmeter/agent/fog.db"'],
    ['fogmeter agent run --config agent.toml', 'systemctl enable --now fogmeter-agent'],
  ],
  cloud: [
    ['"unix:run/cloud-broker.sock"', `"unix://${socket}"`],
    ['"identities/cloud-a.key"', '"credential:cloud.key"'],
    [
      '# Private key, readable by this user only.',
      '# Private key: /etc/fogmeter/keys/cloud.key, handed over by systemd.',
    ],
    ['"identities/cloud-a.cwt"', '"/etc/fogmeter/cloud.cwt"'],
    authority,
    ['"identities/revoked.cose"', '"/etc/fogmeter/revoked.cose"'],
    ['"data/cloud.db"', '"/var/lib/fogmeter/cloud/cloud.db"'],
    ['fogmeter cloud run --config cloud.toml', 'systemctl enable --now fogmeter-cloud'],
  ],
  meter: [
    ['"identities/{name}.key"', '"credential:meter.key"'],
    [
      '# Private key, readable by this user only.',
      '# Private key: /etc/fogmeter/keys/NAME.key, handed over by systemd.',
    ],
    ['"identities/{name}.cwt"', '"/etc/fogmeter/meters/{name}.cwt"'],
    authority,
    ['"data/{name}.db"', '"/var/lib/fogmeter/meter/{name}/meter.db"'],
    [
      'fogmeter meter run --config meter.toml',
      'systemctl enable --now fogmeter-meter@NAME, with this file as meters/NAME.toml',
    ],
  ],
} as const

export type ExampleName = keyof typeof changes
export const exampleNames = Object.keys(changes) as ExampleName[]

/** @throws Error when an example no longer holds what is to be changed */
export function installedExample(root: string, name: ExampleName): string {
  let text = readFileSync(join(root, 'deploy/examples', `${name}.toml`), 'utf8')
  for (const [from, to] of changes[name]) {
    if (text.split(from).length !== 2) throw new Error(`${name}.toml has not exactly one ${from}`)
    text = text.replace(from, to)
  }
  if (/"(unix:)?(identities|data|run)\//.test(text))
    throw new Error(`${name}.toml: a path is not changed`)
  return text
}
