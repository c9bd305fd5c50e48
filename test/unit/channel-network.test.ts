import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CLEAR, Simulation, type Ledger } from '../support/channel-network.ts'

/** `CHANNEL_RUNS=2000` for a long run. */
const numRuns = Number(process.env.CHANNEL_RUNS ?? 25)
const SECONDS = 1_000

function expectHonest(ledger: Ledger): void {
  expect(ledger.violations).toEqual([])
  expectSubset(ledger.gotUp, ledger.sentUp)
  expectSubset(ledger.gotDown, ledger.sentDown)
}

/** Each at most once, and nothing that was not sent. */
function expectSubset(got: readonly string[], sent: readonly string[]): void {
  const known = new Set(sent)
  expect(got.filter((text) => !known.has(text))).toEqual([])
  expect(new Set(got).size).toBe(got.length)
}

const seeds = fc.integer({ min: 0, max: 2 ** 32 - 1 })

describe('a network that loses, doubles and reorders', () => {
  test('nothing altered, doubled or early; and it always converges once the weather clears', () => {
    const weather = fc.record({
      loss: fc.double({ min: 0, max: 0.5, noNaN: true }),
      duplicate: fc.double({ min: 0, max: 0.5, noNaN: true }),
      jitterMs: fc.integer({ min: 0, max: 3_000 }),
    })
    const restarts = fc.array(fc.integer({ min: 0, max: 119 }), { maxLength: 3 })
    fc.assert(
      fc.property(seeds, weather, restarts, (seed, bad, restartsAtS) => {
        const limits = { rekeyAfterMs: 30 * SECONDS, oldEpochMs: 10 * SECONDS }
        const simulation = new Simulation(seed, bad, limits)
        simulation.start()
        for (let second = 0; second < 120; second++) {
          if (restartsAtS.includes(second)) simulation.restartResponder()
          simulation.talk()
          simulation.run(SECONDS)
        }
        simulation.weather = CLEAR
        for (let second = 0; second < 60; second++) {
          simulation.talk()
          simulation.run(SECONDS)
        }
        const { ledger } = simulation
        const [up, down] = [ledger.gotUp.length, ledger.gotDown.length]
        for (let second = 0; second < 10; second++) {
          expect(simulation.opened).toBe(true)
          simulation.talk()
          simulation.run(SECONDS)
        }
        expect(ledger.gotUp.length).toBe(up + 10)
        expect(ledger.gotDown.length).toBe(down + 10)
        expectHonest(ledger)
      }),
      { numRuns },
    )
  })

  test('rekeying every few seconds loses nothing, whatever overtakes what', () => {
    const weather = fc.record({
      loss: fc.constant(0),
      duplicate: fc.double({ min: 0, max: 0.5, noNaN: true }),
      jitterMs: fc.integer({ min: 0, max: 1_500 }),
    })
    fc.assert(
      fc.property(seeds, weather, (seed, bad) => {
        const limits = { rekeyAfterMs: 3 * SECONDS, oldEpochMs: 5 * SECONDS }
        const simulation = new Simulation(seed, bad, limits)
        simulation.start()
        simulation.run(10 * SECONDS)
        for (let i = 0; i < 600; i++) {
          simulation.talk()
          simulation.run(SECONDS / 10)
        }
        simulation.run(5 * SECONDS)
        const { ledger } = simulation
        expect(ledger).toMatchObject({ opens: 1, closes: 0 })
        expect(ledger.rekeys).toBeGreaterThan(5)
        expectHonest(ledger)
        expect(ledger.gotUp.length).toBe(ledger.sentUp.length)
        expect(ledger.gotDown.length).toBe(ledger.sentDown.length)
      }),
      { numRuns },
    )
  })
})
