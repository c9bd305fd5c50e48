import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'

const root = join(import.meta.dirname, '../..')
const folder = mkdtempSync(join(tmpdir(), 'fogmeter-reporter-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test.each([
  ['all pass', `test('a', () => {})`, '1 passed, 0 failed'],
  ['one fails', `test('a', () => {}); test('b', () => { throw Error() })`, '1 passed, 1 failed'],
  [
    'one is skipped',
    `test('a', () => {}); test.skip('b', () => {})`,
    '1 passed, 0 failed, 1 skipped',
  ],
  ['a file that cannot be loaded', `throw Error()`, '0 passed, 1 failed'],
])('last line of a run: %s', (_, file, line) => {
  writeFileSync(join(folder, 'some.test.js'), file)
  const { stdout } = spawnSync(
    process.execPath,
    [
      join(root, 'node_modules/vitest/vitest.mjs'),
      'run',
      `--root=${folder}`,
      '--globals',
      '--reporter=default',
      `--reporter=${join(root, 'test/check/count-reporter.ts')}`,
    ],
    { encoding: 'utf8' },
  )
  expect(stdout.endsWith(`\n${line}\n`)).toBe(true)
})
