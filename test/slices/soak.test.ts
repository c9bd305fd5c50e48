import { expect, it } from 'vitest'
import { soak } from '../chaos/soak.ts'

// The real thing: npm run chaos -- soak --minutes 60
it('a soak of some seconds samples every program and accounts for every reading', async () => {
  const { readings, rows, problems } = await soak({ minutes: 0.08, meters: 20, rate: 10 })
  expect(problems).toEqual([])
  expect(readings).toBeGreaterThan(200)
  expect(rows.map(({ program }) => program).toSorted()).toEqual(
    ['cloud', 'cloud-broker', 'fleet', 'fog-1-agent', 'fog-1-broker'].toSorted(),
  )
  for (const row of rows) {
    expect(row.samples).toBeGreaterThan(1)
    expect(row.rssMaxMiB).toBeGreaterThan(20)
    expect(row.heapMaxMiB).toBeGreaterThan(5)
    expect(row.descriptorsMax).toBeGreaterThan(5)
  }
  const fleet = rows.find(({ program }) => program === 'fleet')
  expect(fleet?.walMaxMiB).toBeGreaterThan(0)
}, 120_000)
