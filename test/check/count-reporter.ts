import type { TestModule } from 'vitest/node'

/** Prints `N passed, N failed` alone on the last line, the form CI reads; `, N skipped` if any was. */
export default class CountReporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    let [passed, failed, skipped] = [0, unhandledErrors.length, 0]
    for (const module of modules) {
      const tests = [...module.children.allTests()]
      if (module.state() === 'failed' && !tests.some((test) => test.result().state === 'failed'))
        failed += 1 // a file that failed to load has no failed test of its own
      for (const test of tests) {
        const state = test.result().state
        if (state === 'passed') passed += 1
        else if (state === 'failed') failed += 1
        else skipped += 1
      }
    }
    // After the default reporter's own summary, which is printed in this same phase.
    process.on('exit', () => {
      const rest = skipped > 0 ? `, ${skipped} skipped` : ''
      process.stdout.write(`${passed} passed, ${failed} failed${rest}\n`)
    })
  }
}
