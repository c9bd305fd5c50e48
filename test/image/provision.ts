/** Gives a card the settings of one fog node and a token, by the command an operator would type. */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Cluster } from '../../apps/demo/cluster.ts'

const cli = join(import.meta.dirname, '../../apps/cli/main.ts')

/** Before the cloud is started: it takes new fog nodes, has the authority to sign them, and a token. */
export function allowEnrolment({ specs, plan }: Cluster): void {
  writeFileSync(tokenFile(plan.dir), randomBytes(32).toString('base64'), { mode: 0o600 })
  const authority = join(plan.dir, 'authority')
  for (const { config } of specs.filter(({ program }) => program === 'cloud')) {
    const text = readFileSync(config, 'utf8')
    const http = text.replace('[http]\n', `[http]\ntoken_file = "${tokenFile(plan.dir)}"\n`)
    writeFileSync(config, `${http}\n[enrolment]\nauthority = "${authority}"\n`)
  }
}

function tokenFile(dir: string): string {
  return join(dir, 'state/api.token')
}

interface Settings {
  cluster: Cluster
  fog: string
  /** Where the guest finds the cloud's broker and its API, on ports 1884 and 8080. */
  cloudAt: string
}

/** `image` is the card, or what it is made from; its token counts once. */
export function provision(image: string, { cluster, fog, cloudAt }: Settings): void {
  const authority = join(cluster.plan.dir, 'authority/authority.pub')
  const args = ['pi', 'prepare', '--image', image, '--fog', fog, '--authority-key', authority]
  args.push('--cloud', `mqtt://${cloudAt}:1884`, '--api', `http://${cloudAt}:8080`)
  args.push('--url', `http://127.0.0.1:${cluster.httpPort}`, '--time-zone', 'Europe/Berlin')
  args.push('--token-file', tokenFile(cluster.plan.dir))
  // The demo's cluster has enrolled a fog node of this name; this is the one that takes its place.
  args.push('--replace')
  execFileSync(process.execPath, [cli, ...args], { stdio: ['ignore', 'ignore', 'inherit'] })
}
