import { beforeEach, expect, test } from 'vitest'
import { createLifeSign } from '../../apps/agent/life-sign.ts'

const probeMs = 10_000
let agent: { nowMs: number; commits: number; waiting: number; diskWorks: boolean }
let fed: number
let look: () => boolean

beforeEach(() => {
  agent = { nowMs: 5_000, commits: 3, waiting: 0, diskWorks: true }
  fed = 0
  look = createLifeSign({
    clock: { monotonic: () => agent.nowMs },
    notify: { probeMs, watchdog: () => void (fed += 1) },
    commits: () => agent.commits,
    waiting: () => agent.waiting,
    probe: () => {
      if (!agent.diskWorks) throw new Error('the disk takes no writes')
    },
  })
})

/** Looks every 50 ms, as the agent does. */
function pass(ms: number): void {
  for (const end = agent.nowMs + ms; agent.nowMs < end; agent.nowMs += 50) {
    try {
      look()
    } catch {
      // the agent logs it and goes on
    }
  }
}

test('a quiet agent is fed by empty commits, no more often than needed', () => {
  pass(60_000)
  expect(fed).toBeGreaterThanOrEqual(5)
  expect(fed).toBeLessThanOrEqual(6)
})

test('each commit counts as a sign, and postpones the next empty one', () => {
  pass(9_000)
  agent.commits += 1
  expect(look()).toBe(true)
  expect(fed).toBe(1)
  pass(9_000)
  expect(fed).toBe(1)
})

test('nothing is fed while the disk takes no writes, and again once it does', () => {
  agent.diskWorks = false
  pass(600_000)
  expect(fed).toBe(0)
  agent.diskWorks = true
  pass(100)
  expect(fed).toBe(1)
})

test('nothing is fed while blocks wait that are never committed, though the disk would work', () => {
  agent.waiting = 1
  pass(600_000)
  expect(fed).toBe(0)
  agent.commits += 1
  pass(50)
  expect(fed).toBe(1)
})
