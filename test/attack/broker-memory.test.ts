import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { startProgram, type BrokerProgram } from '../support/broker.ts'
import { meter, type RawClient } from '../support/raw-mqtt.ts'

const CLIENTS = 2_000
const BUDGET_KIB = 30

/**
 * What a connected, subscribed, silent meter costs the shipped program, in resident memory. A
 * Pi that serves a village should not need more for its connections than for its database.
 */
test(`an idle meter costs at most ${BUDGET_KIB} KiB (${CLIENTS} of them)`, async () => {
  const program = await startProgram({
    limits: { connections_per_address: 10_000, admit_timeout_ms: 600_000 },
  })
  // The first ones pay for code that is compiled and buffers that are made only once.
  for (const { socket } of await meters(program, 200)) socket.destroy()
  await delay(1_000)
  const beforeKib = residentKib(program)
  const clients = await meters(program, CLIENTS)
  await delay(1_000)
  const perMeterKib = (residentKib(program) - beforeKib) / CLIENTS
  console.log(`${perMeterKib.toFixed(1)} KiB for an idle meter`)
  expect(perMeterKib).toBeLessThanOrEqual(BUDGET_KIB)
  // The figure means something only if they are all still there.
  expect(clients.filter((client) => client.isClosed())).toHaveLength(0)
  for (const { socket } of clients) socket.destroy()
  await program.stop()
})

async function meters(program: BrokerProgram, count: number): Promise<RawClient[]> {
  const all: RawClient[] = []
  while (all.length < count)
    all.push(...(await Promise.all(Array.from({ length: 50 }, () => meter(program)))))
  return all
}

function residentKib({ child }: BrokerProgram): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1])
}
