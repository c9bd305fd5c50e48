import { afterEach, expect, test } from 'vitest'
import { openFogStore } from '#fog-store'
import { revoke } from '#identity'
import { decodeItem, type Item } from '#messages'
import { peekRegister } from '#reading'
import { systemClock } from '#service'
import { startFogNode, startTestMeter } from '../support/fog-node.ts'
import type { FogNode, TestMeter } from '../support/fog-node.ts'

let node: FogNode
let meters: TestMeter[] = []
afterEach(async () => {
  for (const meter of meters) await meter.close()
  meters = []
  await node.close()
})

const startS = 1_767_225_600
const windows = ['[window]', 'seconds = 60', 'grace_seconds = 0', 'idle_seconds = 1']

/** One reading of every meter, 10 s of their time after the last; registers always grow. */
function measureAll(step: number): void {
  for (const [index, meter] of meters.entries()) {
    meter.measure({
      timeS: startS + step * 10,
      powerW: 200 + step + index,
      voltageDv: 2300,
      importWh: 1_000 * index + 3 * step,
      exportWh: 0,
    })
  }
}

/** Everything in the outbox of a stopped agent. */
function outboxOf(path: string): Item[] {
  const store = openFogStore(path, systemClock)
  const items = store.outbox.read(1, 10_000).map(({ body }) => decodeItem(body))
  store.close()
  return items
}

/** The sum over the latest revisions of all windows. */
function readingsSummedUp(items: Item[]): number {
  const latest = new Map<number, number>()
  for (const item of items) {
    if (item.type === 'summary') latest.set(item.summary.startS, item.summary.readings)
  }
  return [...latest.values()].reduce((sum, readings) => sum + readings, 0)
}

async function metric(port: unknown, name: string): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${Number(port)}/metrics`)
  const line = (await response.text()).split('\n').find((text) => text.startsWith(`${name} `))
  return Number(line?.split(' ')[1])
}

test('an agent killed again and again loses nothing and counts nothing twice', async () => {
  node = await startFogNode({ settings: windows })
  let agent = await node.startAgent()
  for (const name of ['live-1', 'live-2']) meters.push(startTestMeter(node, name, 'live'))
  for (const name of ['block-1', 'block-2']) meters.push(startTestMeter(node, name, 'block'))
  const rounds = 4
  const perRound = 30
  for (let round = 0; round < rounds; round++) {
    for (let i = 1; i <= perRound; i++) measureAll(round * perRound + i)
    // A receipt shows that this round is under way; the rest of it dies with the agent.
    const [first] = meters
    await first!.until(() => first!.meter.status().receiptedThrough > round * perRound)
    await agent.end('SIGKILL')
    agent = await node.startAgent()
  }
  for (const meter of meters) meter.closeBlock()
  for (const meter of meters) await meter.until(() => meter.meter.drained())

  const total = rounds * perRound
  const numbers = new Map<string, number[]>()
  for (const { deviceId, block } of node.journal()) {
    const own = numbers.get(deviceId) ?? []
    own.push(...block.readings.map(({ number }) => number))
    numbers.set(deviceId, own)
  }
  const expected = Array.from({ length: total }, (_, index) => index + 1)
  for (const { name } of meters) expect(numbers.get(name)).toEqual(expected)

  const { metricsPort } = agent.listening
  while ((await metric(metricsPort, 'fogmeter_agent_windows_open')) > 0) {
    expect(agent.child.exitCode).toBeNull()
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  expect(await agent.end('SIGTERM')).toBe(0)
  const items = outboxOf(node.store)
  expect(readingsSummedUp(items)).toBe(total * meters.length)
  for (const { name, meter } of meters) {
    const registers = items
      .flatMap((item) => (item.type === 'register' ? [peekRegister(item.envelope)] : []))
      .filter(({ deviceId }) => deviceId === name)
    const { newestNumber, importWh } = meter.status()
    expect(registers.at(-1)).toMatchObject({ last: newestNumber, endImportWh: importWh })
  }
})

test('SIGTERM commits and receipts what has arrived, and leaves nothing to replay', async () => {
  node = await startFogNode()
  const agent = await node.startAgent()
  const meter = startTestMeter(node, 'meter-1', 'block')
  meters.push(meter)
  for (let step = 1; step <= 8; step++) measureAll(step)
  await meter.until(() => meter.meter.drained())
  const { metricsPort } = agent.listening
  expect((await fetch(`http://127.0.0.1:${Number(metricsPort)}/healthz`)).status).toBe(200)
  expect(await metric(metricsPort, 'fogmeter_agent_readings_total')).toBe(8)
  expect(await agent.end('SIGTERM')).toBe(0)
  const store = openFogStore(node.store, systemClock)
  expect(store.groupsAfter(0, 10)).not.toEqual([])
  expect(store.groupsAfter(store.load().throughId, 10)).toEqual([])
  store.close()
})

test('a revoked meter is thrown out of its session and not let in again', async () => {
  node = await startFogNode()
  const agent = await node.startAgent()
  for (const name of ['good', 'bad']) meters.push(startTestMeter(node, name, 'block'))
  const [good, bad] = meters as [TestMeter, TestMeter]
  for (let step = 1; step <= 4; step++) measureAll(step)
  for (const meter of meters) await meter.until(() => meter.meter.drained())
  revoke(node.authority, 'bad')
  await bad.until(() => bad.closed.length > 0)
  for (let step = 5; step <= 8; step++) measureAll(step)
  await good.until(() => good.meter.drained())
  const tries = bad.closed.length
  await bad.until(() => bad.closed.length > tries)
  expect(bad.meter.status().receiptedThrough).toBe(4)
  expect(node.journal().filter(({ deviceId }) => deviceId === 'bad')).toHaveLength(1)
  expect(agent.log()).toContain('new revocation list')
})
