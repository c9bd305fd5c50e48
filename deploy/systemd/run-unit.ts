/**
 * Runs a unit where systemd is not, such as in a container or a chroot, under the unit's own settings:
 *
 *   run-unit fogmeter-agent.service
 *
 * User, groups, directories, credentials, environment, limits, READY and the watchdog are as with
 * systemd; the sandbox is not, and every setting that is not acted on is named on stderr. SIGTERM
 * stops it, with the exit code of the program.
 */
import { existsSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { supervise } from './supervisor.ts'
import { honoured } from './surroundings.ts'
import { parseUnit, words, type Unit } from './unit-file.ts'

const folders = ['/etc/systemd/system', '/usr/lib/systemd/system', '/lib/systemd/system']

/** `a@b.service` is read from `a@.service`, with b for %i. A path is taken as it is. */
function readUnit(given: string): Unit {
  const name = basename(given)
  const [, prefix, instance = ''] = /^(.+@)(.+)(?=\.service$)/.exec(name) ?? []
  const template = prefix === undefined ? name : `${prefix}.service`
  const places = given.includes('/') ? [given] : folders.map((folder) => join(folder, template))
  const file = places.find((path) => existsSync(path))
  if (file === undefined) throw new Error(`no unit ${template} in ${folders.join(', ')}`)
  return parseUnit(readFileSync(file, 'utf8'), instance)
}

async function runUnit(given: string, say: (text: string) => void): Promise<number> {
  const unit = readUnit(given)
  for (const path of words(unit, 'Unit', 'ConditionPathExists'))
    if (!existsSync(path)) throw new Error(`${path} does not exist; make the configuration first`)
  const idle = [...(unit.get('Service')?.keys() ?? [])].filter((key) => !honoured.has(key))
  if (idle.length > 0) say(`not acted on here: ${idle.join(' ')}`)
  const supervisor = supervise(unit, basename(given), say)
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => supervisor.stop())
  return supervisor.ended
}

const [given, ...more] = process.argv.slice(2)
if (given === undefined || more.length > 0 || given.startsWith('-')) {
  process.stderr.write('usage: run-unit UNIT      e.g. run-unit fogmeter-agent.service\n')
  process.exit(2)
}
const say = (text: string): void =>
  void process.stderr.write(`run-unit: ${basename(given)}: ${text}\n`)
try {
  process.exit(await runUnit(given, say))
} catch (error) {
  say(error instanceof Error ? error.message : String(error))
  process.exit(1)
}
