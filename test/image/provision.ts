/** Gives a card the settings of one fog node. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Cluster } from '../../apps/demo/cluster.ts'
import { installedExample } from '../../deploy/package/examples.ts'
import type { Card } from './card.ts'

interface Settings {
  cluster: Cluster
  fog: string
  dir: string
  cloudAt: string
}

export function provision(card: Card, { cluster, fog, dir, cloudAt }: Settings): void {
  const root = join(import.meta.dirname, '../..')
  const folder = join(dir, 'fogmeter')
  mkdirSync(folder)
  const own = join(cluster.plan.dir, 'authority/enrolled', fog)
  writeFileSync(join(folder, 'broker.toml'), installedExample(root, 'broker'))
  writeFileSync(
    join(folder, 'agent.toml'),
    installedExample(root, 'agent').replace('mqtt://127.0.0.1:1884', `mqtt://${cloudAt}:1884`),
  )
  card.provision(folder)
  card.write(join(folder, 'broker.toml'), '/etc/broker.toml')
  card.write(join(folder, 'agent.toml'), '/etc/agent.toml')
  card.write(join(own, `${fog}.key`), '/etc/keys/agent.key')
  card.write(join(own, `${fog}.cwt`), '/etc/agent.cwt')
  card.write(join(cluster.plan.dir, 'authority/authority.pub'), '/etc/authority.pub')
}
