import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { portableProblems, walkPortable } from '../check/portable.ts'

const root = join(import.meta.dirname, '../..')
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'fogmeter-portable-'))
  mkdirSync(join(folder, 'libs/deep'), { recursive: true })
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Problems of a firmware that reaches this source through a library. */
function problemsWith(source: string): string[] {
  writeFileSync(join(folder, 'main.ts'), "import '#deep'\n")
  writeFileSync(join(folder, 'libs/deep/index.ts'), "export { deep } from './more.ts'\n")
  writeFileSync(join(folder, 'libs/deep/more.ts'), `export const deep = 1\n${source}`)
  return walkPortable(folder, ['main.ts']).problems
}

test('the firmware, and with it the core of every meter, is plain ECMAScript', () => {
  const { checked, problems } = portableProblems(root)
  expect(problems).toEqual([])
  expect(checked).toBeGreaterThan(100)
})

test.each([
  ['a Node module', "import { readFileSync } from 'node:fs'\nvoid readFileSync"],
  ['a package of npm', "import { MqttClient } from 'mqtt'\nvoid MqttClient"],
  ['something loaded later', "void import('node:crypto')"],
  ['a library that is not there', "import '#nowhere'"],
  ['the clock of the machine', 'export const now = () => Date.now()'],
  ['randomness from nowhere', 'export const any = Math.random()'],
])('%s is found, however deep', (_what, source) => {
  expect(problemsWith(source)).toHaveLength(1)
})

test('noble, and words about clocks, are no problem', () => {
  const source = "import { x } from '@noble/curves/x.js'\nvoid x // not Date.now()\n"
  expect(problemsWith(source)).toEqual([])
})

test('the compiler finds what only a platform has', () => {
  const options = JSON.parse(readFileSync(join(root, 'tsconfig.portable.json'), 'utf8')) as object
  const source =
    'void Buffer\nvoid process\nsetTimeout(() => undefined, 1)\nvoid new TextEncoder()\n'
  writeFileSync(join(folder, 'globals.ts'), source)
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ ...options, extends: join(root, 'tsconfig.json'), include: ['globals.ts'] }),
  )
  const tsc = join(root, 'node_modules/.bin/tsc')
  const { stdout } = spawnSync(tsc, ['--noEmit', '-p', folder], { encoding: 'utf8' })
  for (const name of ['Buffer', 'process', 'setTimeout', 'TextEncoder'])
    expect(stdout).toContain(name)
})
