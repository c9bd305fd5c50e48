/** What goes into the package, as far as it can be seen without making one. */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { agentConfig, brokerConfig, cloudConfig, meterConfig, parseConfig } from '#config'
import { buildProgram } from '../../apps/cli/program.ts'
import { exampleNames, installedExample } from '../../deploy/package/examples.ts'
import { manPage } from '../../deploy/package/man.ts'
import { last, parseUnit, words } from '../../deploy/systemd/unit-file.ts'
import packageFile from '../../package.json' with { type: 'json' }

const root = join(import.meta.dirname, '../..')
const debian = join(root, 'deploy/package/debian')

const read = (name: (typeof exampleNames)[number]) => installedExample(root, name)
const page = async () =>
  manPage(await buildProgram({ queries: true }), { version: '1.2.3', date: '2026-11-26' })

/** What groff says about a page when it is asked for every warning. */
function warnings(input: string): string {
  const options = { input, encoding: 'utf8' } as const
  return spawnSync('groff', ['-man', '-Tutf8', '-ww', '-z'], options).stderr
}

/** What the unit offers, and what the example beside it asks for. */
function unitOf(name: string) {
  const file = name === 'meter' ? 'fogmeter-meter@.service' : `fogmeter-${name}.service`
  const unit = parseUnit(readFileSync(join(root, 'deploy/systemd', file), 'utf8'), 'meter-0001')
  return {
    credentials: words(unit, 'Service', 'LoadCredential').map((line) => line.split(':')[0]),
    state: `/var/lib/${last(unit, 'Service', 'StateDirectory')}/`,
    runtime: `/run/${last(unit, 'Service', 'RuntimeDirectory')}/`,
  }
}

describe('installed examples fit the units', () => {
  const path = '/etc/fogmeter/x.toml'

  test('broker: its socket lies where the unit makes a folder', () => {
    const config = parseConfig(brokerConfig, read('broker'), path)
    expect(config.local.socket.startsWith(unitOf('broker').runtime)).toBe(true)
  })

  test.each([
    ['agent', agentConfig],
    ['cloud', cloudConfig],
  ] as const)('%s: key, store and socket', (name, schema) => {
    const { identity, store, broker } = parseConfig(schema, read(name), path)
    const { credentials, state } = unitOf(name)
    expect(credentials).toContain(identity.key.replace('credential:', ''))
    expect(store.path.startsWith(state)).toBe(true)
    const { local } = parseConfig(brokerConfig, read('broker'), path)
    expect(broker.url).toBe(`unix://${local.socket}`)
  })

  test('meter: key and store, by the name of the instance', () => {
    const { identity, store, name } = parseConfig(meterConfig, read('meter'), path)
    const { credentials, state } = unitOf('meter')
    expect(credentials).toContain(identity.key.replace('credential:', ''))
    expect(store.path.replace('{name}', name ?? '').startsWith(state)).toBe(true)
  })
})

describe('the manual page', () => {
  test('has every command with its options', async () => {
    const text = await page()
    for (const command of ['enrol', 'broker run', 'summary watch', 'config check', 'backup'])
      expect(text).toContain(`.B fogmeter ${command}`)
    expect(text).toContain('\\-\\-authority <folder>')
    expect(text).not.toContain('complete [words')
  })

  const groff = spawnSync('groff', ['--version']).status === 0
  test.skipIf(!groff)(
    'groff has nothing to warn of (skipped where it is not installed)',
    async () => {
      const input = await page()
      expect(warnings(input)).toBe('')
      expect(warnings(`${input}.XX\n`)).not.toBe('')
    },
  )
})

test('the changelog is of this version', () => {
  const changelog = readFileSync(join(debian, 'changelog'), 'utf8')
  expect(changelog.startsWith(`fogmeter (${packageFile.version}) `)).toBe(true)
})

test.each(['postinst', 'prerm', 'postrm'])('%s is a script of the plain shell', (name) => {
  expect(spawnSync('sh', ['-n', join(debian, name)]).status).toBe(0)
  expect(readFileSync(join(debian, name), 'utf8')).toContain('\nset -e\n')
})

test('there is an example for each program that a unit runs, and a unit for each example', () => {
  const units = readdirSync(join(root, 'deploy/systemd')).filter(
    (name) => name.endsWith('.service') && name !== 'fogmeter-first-boot.service',
  )
  const names = units.map((name) => /fogmeter-(\w+)/.exec(name)?.[1])
  expect(new Set(names)).toEqual(new Set(exampleNames))
  for (const name of exampleNames)
    expect(existsSync(join(root, 'deploy/examples', `${name}.toml`))).toBe(true)
})
