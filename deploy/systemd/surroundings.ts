/** What systemd prepares before it starts a program: directories, credentials, user and limits. */
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, copyFileSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { last, words, type Unit } from './unit-file.ts'

export interface Surroundings {
  env: Record<string, string>
  /** Put before the command: it becomes the user and takes on the limits. */
  prefix: string[]
}

interface Owner {
  uid: number
  gid: number
}

/** Settings of [Service] that are acted on here or in run-unit.ts; the others are named to the reader. */
export const honoured: ReadonlySet<string> = new Set([
  'Type',
  'NotifyAccess',
  'ExecStart',
  'Environment',
  'User',
  'SupplementaryGroups',
  'RuntimeDirectory',
  'RuntimeDirectoryMode',
  'RuntimeDirectoryPreserve',
  'StateDirectory',
  'StateDirectoryMode',
  'LoadCredential',
  'UMask',
  'LimitNOFILE',
  'LimitCORE',
  'NoNewPrivileges',
  'CapabilityBoundingSet',
  'AmbientCapabilities',
  'Restart',
  'RestartSec',
  'WatchdogSec',
  'TimeoutStartSec',
  'TimeoutStopSec',
])

/** Makes directories and credentials of a unit, and says how to become its user. Needs root where it names one. */
export function prepare(unit: Unit, name: string): Surroundings {
  const user = last(unit, 'Service', 'User')
  const owner = user === undefined ? null : ownerOf(user)
  const env: Record<string, string> = {}
  for (const assignment of words(unit, 'Service', 'Environment')) {
    const [key = '', ...value] = assignment.split('=')
    env[key] = value.join('=')
  }
  for (const [kind, base, variable] of [
    ['RuntimeDirectory', '/run', 'RUNTIME_DIRECTORY'],
    ['StateDirectory', '/var/lib', 'STATE_DIRECTORY'],
  ] as const) {
    const mode = Number.parseInt(last(unit, 'Service', `${kind}Mode`) ?? '0755', 8)
    const paths = words(unit, 'Service', kind).map((path) => join(base, path))
    for (const path of paths) makeOwned(path, mode, owner)
    if (paths.length > 0) env[variable] = paths.join(':')
  }
  const credentials = words(unit, 'Service', 'LoadCredential')
  if (credentials.length > 0) env['CREDENTIALS_DIRECTORY'] = hand(credentials, name, owner)
  return { env, prefix: [...limits(unit), ...(user === undefined ? [] : become(unit, user))] }
}

function ownerOf(user: string): Owner {
  const number = (flag: string) => Number(execFileSync('id', [flag, user], { encoding: 'utf8' }))
  return { uid: number('-u'), gid: number('-g') }
}

/** Parents belong to root, as with systemd. */
function makeOwned(path: string, mode: number, owner: Owner | null): void {
  mkdirSync(path, { recursive: true })
  if (owner !== null) chownSync(path, owner.uid, owner.gid)
  chmodSync(path, mode)
}

/** Copies `NAME:FILE` to where only the program's user reads it. */
function hand(credentials: readonly string[], name: string, owner: Owner | null): string {
  const folder = join('/run/credentials', name)
  rmSync(folder, { recursive: true, force: true })
  makeOwned(folder, 0o500, owner)
  for (const credential of credentials) {
    const [id = '', file = ''] = credential.split(':')
    const copy = join(folder, id)
    copyFileSync(file, copy)
    if (owner !== null) chownSync(copy, owner.uid, owner.gid)
    chmodSync(copy, 0o400)
  }
  return folder
}

function limits(unit: Unit): string[] {
  const umask = last(unit, 'Service', 'UMask') ?? '0022'
  const limit = (key: string) => last(unit, 'Service', key)
  const [files, core] = [limit('LimitNOFILE'), limit('LimitCORE')]
  return [
    'prlimit',
    ...(files === undefined ? [] : [`--nofile=${files}`]),
    ...(core === undefined ? [] : [`--core=${core}`]),
    'sh',
    '-c',
    `umask ${umask}; exec "$@"`,
    'sh',
  ]
}

function become(unit: Unit, user: string): string[] {
  const groups = words(unit, 'Service', 'SupplementaryGroups')
  const more = groups.length === 0 ? ['--clear-groups'] : [`--groups=${groups.join(',')}`]
  const bare = ['--inh-caps=-all', '--bounding-set=-all', '--no-new-privs']
  const group = execFileSync('id', ['-gn', user], { encoding: 'utf8' }).trim()
  return ['setpriv', `--reuid=${user}`, `--regid=${group}`, ...more, ...bare, '--']
}
