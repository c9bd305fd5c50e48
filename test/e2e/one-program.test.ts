/**
 * One program for one store, and one program for one identity, with real processes: a second one
 * must neither harm the first nor keep both busy.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { writeFileSync } from 'node:fs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { enrol } from '#identity'
import { startFogNode, startProgram, type FogNode } from '../support/fog-node.ts'

const cli = join(import.meta.dirname, '../../apps/cli/main.ts')
const superseded = /"code":"channel\/superseded".*"advice":"another program has connected/
const busy = (file: string) => new RegExp(`sqlite/busy.*${file} is in use by another process`, 's')

let node: FogNode
const children: ChildProcess[] = []
beforeEach(async () => {
  node = await startFogNode()
})
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }
  await node.close()
})

/** Starts a program that goes on for ever; `says` resolves when its log matches. */
function start(...args: string[]) {
  const child = spawn(process.execPath, [cli, ...args])
  children.push(child)
  child.stdout.resume()
  let log = ''
  const waiting = new Set<() => void>()
  child.stderr.on('data', (chunk: Buffer) => {
    log += chunk.toString()
    for (const look of waiting) look()
  })
  const says = (pattern: RegExp, times = 1): Promise<void> =>
    new Promise((resolve) => {
      const look = () => {
        if ([...log.matchAll(new RegExp(pattern, 'g'))].length >= times) resolve()
      }
      waiting.add(look)
      look()
    })
  return { says, log: () => log }
}

function identityLines(role: 'meter' | 'cloud', name: string): string {
  const files = enrol(node.authority, role, name)
  return `[identity]\nkey = "${files.key}"\ncredential = "${files.credential}"\nauthority = "${files.authority}"\n`
}

test('a second agent on one store is refused, and the first goes on', async () => {
  const agent = await node.startAgent()
  await expect(node.startAgent()).rejects.toThrow(busy('fog\\.db'))
  const { metricsPort } = agent.listening
  const health = await fetch(`http://127.0.0.1:${Number(metricsPort)}/healthz`)
  expect(health.status).toBe(200)
  expect(await agent.end('SIGTERM')).toBe(0)
  const next = await node.startAgent()
  expect(await next.end('SIGKILL')).toBeNull()
  await node.startAgent()
})

test('a second cloud service on one store is refused, and the first goes on', async () => {
  const config = join(node.folder, 'cloud.toml')
  const broker = join(node.folder, 'run/broker.sock')
  writeFileSync(
    config,
    `[broker]\nurl = "unix://${broker}"\n${identityLines('cloud', 'cloud-a')}
     [store]\npath = "cloud.db"\n[http]\nlisten = "127.0.0.1:0"`,
  )
  const cloud = await startProgram('cloud', config)
  children.push(cloud.child)
  await expect(startProgram('cloud', config)).rejects.toThrow(busy('cloud\\.db'))
  expect((await fetch(`${String(cloud.listening['url'])}/summary`)).status).toBe(200)
  expect(await cloud.end('SIGTERM')).toBe(0)
  const next = await startProgram('cloud', config)
  children.push(next.child)
})

test('two programs with one identity and two stores: both say so, with what to do', async () => {
  await node.startAgent()
  const identity = identityLines('meter', 'meter-1')
  const programs = ['one', 'two'].map((name) => {
    const config = join(node.folder, `${name}.toml`)
    writeFileSync(
      config,
      `node = "fog-1"\n[broker]\nurl = "mqtt://127.0.0.1:${node.port}"\n${identity}
       [store]\npath = "${name}.db"\n[source]\nkind = "sim"`,
    )
    return start('meter', 'run', '--config', config)
  })
  await Promise.all(programs.map(({ says }) => says(superseded)))
  await programs[0]!.says(superseded, 2)
  for (const { log } of programs) expect(log()).toContain('stop one of the two')
})
