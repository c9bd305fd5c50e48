/** Meters that know the name of their fog node and not its address: real programs on a network of their own. */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { nodeCrypto } from '#crypto-node'
import { readJournal } from '#fog-store'
import { createAuthority, enrol } from '#identity'
import { createLan, noLan, type Lan, type Machine } from '../support/lan.ts'
import { logOf, until } from '../support/security.ts'

const cli = join(import.meta.dirname, '../../apps/cli/main.ts')
const exec = promisify(execFile)

let folder = ''
let lan: Lan
const running: ChildProcess[] = []
const at = (...parts: string[]) => join(folder, ...parts)

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fogmeter-mdns-'))
  lan = await createLan()
})
afterEach(async () => {
  for (const child of running.splice(0)) {
    const ended = once(child, 'exit')
    if (child.exitCode === null && child.signalCode === null && child.kill('SIGKILL')) await ended
  }
  await lan.close()
  rmSync(folder, { recursive: true, force: true })
})

/** Starts a program of ours on a machine; its log is LABEL.log. */
function start(machine: Machine, label: string, ...args: string[]): ChildProcess {
  const [command, all] = machine.command(process.execPath, cli, ...args)
  const child = spawn(command, all, {
    stdio: ['pipe', 'ignore', openSync(at(`${label}.log`), 'a')],
  })
  running.push(child)
  return child
}

const said = (label: string, what: string) => () => logOf(at(`${label}.log`)).text.includes(what)

/** Enrols with an authority, which is made when it is new. */
function identity(authority: string, role: 'fog' | 'meter', name: string, out: string): string {
  if (!existsSync(at(authority))) createAuthority(at(authority))
  enrol(at(authority), role, name, { out: at(out) })
  return `[identity]
    key = "${out}/${name}.key"
    credential = "${out}/${name}.cwt"
    authority = "${authority}/authority.pub"
    `
}

/** A fog node on a machine of its own. */
async function startFog(
  name: string,
  authority: string,
  host: number,
  label = name,
): Promise<Machine> {
  const machine = await lan.machine(label, host)
  mkdirSync(at(label))
  writeFileSync(
    at(`${label}-broker.toml`),
    `node = "${name}"
    listen = ["mqtt://0.0.0.0:1883"]
    local.socket = "${label}/b.sock"
    discovery.mdns = true`,
  )
  writeFileSync(
    at(`${label}-agent.toml`),
    `[broker]
    url = "unix:${label}/b.sock"
    ${identity(authority, 'fog', name, label)}
    [store]
    path = "${label}/fog.db"
    [verify]
    workers = 0`,
  )
  start(machine, `${label}-broker`, 'broker', 'run', '--config', at(`${label}-broker.toml`))
  start(machine, `${label}-agent`, 'agent', 'run', '--config', at(`${label}-agent.toml`))
  await until(`${label} is announced`, said(`${label}-broker`, '"event":"announced"'))
  await until(`${label} takes readings`, said(`${label}-agent`, '"event":"listening"'))
  return machine
}

/** A meter that is fed through its standard input. */
async function startMeter(name: string, url: string, host: number, authority = 'authority') {
  const machine = await lan.machine(name, host)
  writeFileSync(
    at(`${name}.toml`),
    `node = "fog-1"
    [broker]
    url = "${url}"
    keepalive_seconds = 5
    ${identity(authority, 'meter', name, name)}
    [store]
    path = "${name}.db"
    [source]
    kind = "stdin"
    [block]
    readings = 2
    [clock]
    ask_timesyncd = false`,
  )
  const child = start(machine, name, 'meter', 'run', '--config', at(`${name}.toml`))
  let importWh = 1_000
  /** Two readings, a block. */
  const measure = () => {
    for (const _ of [1, 2]) {
      importWh += 10
      child.stdin?.write(`{"power_w": 600, "import_wh": ${importWh}}\n`)
    }
  }
  return { child, machine, measure }
}

/** Signed readings a node holds. */
function readingsOf(label: string): number {
  let count = 0
  if (existsSync(at(label, 'fog.db')))
    readJournal(
      at(label, 'fog.db'),
      nodeCrypto,
      ({ block }) => void (count += block.readings.length),
    )
  return count
}

const holds = (label: string, count: number) =>
  until(`${label} holds ${count} readings`, () => readingsOf(label) === count, 150_000)

test.skipIf(noLan !== '')(
  `a fog node is found, and found again at another address${noLan}`,
  { timeout: 240_000 },
  async () => {
    const fog = await startFog('fog-1', 'authority', 1)
    const { child, machine, measure } = await startMeter('meter-1', 'mdns:', 9)
    measure()
    await holds('fog-1', 2)

    const [command, args] = machine.command(process.execPath, cli, 'fog', 'find', 'fog-1', '--json')
    const { stdout } = await exec(command, args)
    expect(JSON.parse(stdout)).toEqual([{ node: 'fog-1', address: '10.77.0.1', port: 1883 }])

    fog.move(77)
    measure()
    await holds('fog-1', 4)
    child.stdin?.end()
    expect(await once(child, 'exit')).toEqual([0, null])
  },
)

test.skipIf(noLan !== '')(
  `somebody with that name and another authority, who answers first, gets nothing${noLan}`,
  { timeout: 240_000 },
  async () => {
    await startFog('fog-1', 'theirs', 1, 'rogue')
    const before = await startMeter('meter-1', 'mdns:', 9)
    before.measure()
    await until('the meter has met the rogue', said('meter-1', 'credential/untrusted'))
    before.child.kill('SIGTERM')
    expect(await once(before.child, 'exit')).toEqual([0, null])

    await startFog('fog-1', 'authority', 2, 'real')
    start(before.machine, 'meter-1', 'meter', 'run', '--config', at('meter-1.toml'))
    await holds('real', 2)
    expect(readingsOf('rogue')).toBe(0)

    // It would have taken them: a meter that trusts its authority delivers there.
    const fooled = await startMeter('meter-2', 'mdns:', 10, 'theirs')
    fooled.measure()
    await holds('rogue', 2)
  },
)

test.skipIf(noLan !== '')(
  `mdns:any: another fog node of the group will do when its own is not there${noLan}`,
  { timeout: 240_000 },
  async () => {
    await startFog('fog-2', 'authority', 2)
    const { child, measure } = await startMeter('meter-1', 'mdns:any', 9)
    measure()
    await holds('fog-2', 2)
    child.stdin?.end()
    expect(await once(child, 'exit')).toEqual([0, null])
  },
)
