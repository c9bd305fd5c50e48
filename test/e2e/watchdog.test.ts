/**
 * The watchdog with a real agent under the unit runner: as long as commits succeed it is left alone,
 * and when they no longer do, although the process lives and its timers run, it is aborted and started
 * again.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import BetterSqlite3 from 'better-sqlite3'
import { afterEach, expect, test } from 'vitest'
import { createAuthority, enrol } from '#identity'

const root = join(import.meta.dirname, '../..')
const folder = mkdtempSync(join(tmpdir(), 'fogmeter-watchdog-'))
const ending: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
  rmSync(folder, { recursive: true, force: true })
})

function agentUnit(): string {
  const authority = join(folder, 'authority')
  createAuthority(authority)
  const { key, credential, authority: anchor } = enrol(authority, 'fog', 'fog-1')
  const config = join(folder, 'agent.toml')
  writeFileSync(
    config,
    `[broker]\nurl = "unix:broker.sock"\n[store]\npath = "fog.db"\n[verify]\nworkers = 0\n` +
      `[identity]\nkey = "${key}"\ncredential = "${credential}"\nauthority = "${anchor}"\n`,
  )
  const unit = join(folder, 'agent.service')
  const command = [process.execPath, join(root, 'apps/cli/main.ts'), 'agent run --config', config]
  writeFileSync(
    unit,
    `[Service]\nType=notify\nExecStart=${command.join(' ')}\nWatchdogSec=3\nRestart=always\nRestartSec=100ms\nLimitCORE=0\n`,
  )
  return unit
}

/** The runner on a unit; `says` resolves with what it said from `after` on once a pattern is there. */
function runUnit(unit: string) {
  const child = spawn(process.execPath, [join(root, 'deploy/systemd/run-unit.ts'), unit])
  ending.push(async () => {
    if (child.exitCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    await exited
  })
  child.stdout.resume()
  let said = ''
  const looks = new Set<() => void>()
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString()
    for (const look of looks) look()
  })
  const says = (pattern: RegExp, after = 0) =>
    new Promise<number>((resolve) => {
      const look = () => {
        const found = pattern.exec(said.slice(after))
        if (found === null) return
        looks.delete(look)
        resolve(after + found.index + found[0].length)
      }
      looks.add(look)
      look()
    })
  return { child, says, said: () => said }
}

/** Until another program has committed this often: a quiet agent four times in each watchdog period. */
async function commits(store: BetterSqlite3.Database, count: number): Promise<void> {
  const version = () => Number(store.pragma('data_version', { simple: true }))
  let seen = version()
  while (count > 0) {
    await setTimeout(20)
    if (version() === seen) continue
    seen = version()
    count -= 1
  }
}

test('an agent whose commits are stuck is aborted and started again; a quiet one is not', async () => {
  const { child, says, said } = runUnit(agentUnit())
  const ready = await says(/: ready\n/)
  const store = new BetterSqlite3(join(folder, 'fog.db'), { timeout: 10_000 })
  ending.push(() => store.close())
  await commits(store, 5)
  expect(said().slice(ready)).not.toContain('no sign of life')

  store.exec('BEGIN IMMEDIATE')
  const aborted = await says(/watchdog: no sign of life, aborting\n/, ready)
  const ended = await says(/ended with SIGABRT\n/, aborted)
  store.exec('ROLLBACK')
  await says(/: ready\n/, ended)
  child.kill('SIGTERM')
  expect(await once(child, 'exit')).toEqual([0, null])
})
