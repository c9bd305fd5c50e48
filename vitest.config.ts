import { defineConfig } from 'vitest/config'

/** `npm run test:slices` runs a short slice of each long campaign instead of the tests. */
const slices = 'test/slices/**'

export default defineConfig(({ mode }) => ({
  test: {
    include: [mode === 'slices' ? `${slices}/*.test.ts` : 'test/**/*.test.ts'],
    exclude: mode === 'slices' ? [] : [slices],
    reporters: ['default', './test/check/count-reporter.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
  },
}))
