/**
 * npm run fit
 *
 * What the meter's core takes on a chip: memory of each build in the virtual machine, found by trying,
 * and arithmetic by the published figures of each chip. Writes both tables into the README.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { format, resolveConfig } from 'prettier'
import { loadFirmware, variants, type Variant } from '../../apps/emulator/build.ts'
import { profiles, VOLTS, costMs, type Profile } from '../../apps/emulator/profiles.ts'
import type { Operation } from '../../apps/emulator/firmware/host.ts'
import { createFirmware } from '../../apps/emulator/firmware/main.ts'
import { nativeCrypto } from '#crypto-native'
import { markdownTable } from '../chaos/options.ts'
import { createChipBench } from '../support/chip-bench.ts'
import { memoryOf, type Fit } from './memory.ts'

const README = join(import.meta.dirname, '../../README.md')
const KIB = 1_024

const about: Record<Variant, string> = {
  noble: 'full client, noble, tables of 2 bits',
  small: 'full client, `crypto-small`',
  native: 'full client, arithmetic in machine code',
  records: 'records only, `crypto-small`',
}

function memoryTable(fits: readonly [Variant, Fit][]): string {
  const chips = Object.entries(profiles)
  const head = [
    'build',
    'source, kB',
    'byte code, kB',
    'heap when started, KiB',
    'heap after a session, KiB',
    'least memory that is enough, KiB',
    ...chips.map(([name, { memoryBytes }]) => `left on ${name} (${memoryBytes / KIB} KiB)`),
  ]
  const rows = fits.map(([variant, fit]) => [
    about[variant],
    Math.round(fit.sourceBytes / 1_000),
    Math.round(fit.bytecodeBytes / 1_000),
    Math.round(fit.startedBytes / KIB),
    Math.round(fit.usedBytes / KIB),
    Math.ceil(fit.neededBytes / KIB),
    ...chips.map(([, { memoryBytes }]) => {
      const left = Math.floor((memoryBytes - fit.neededBytes) / KIB)
      return left < 0 ? 'does not fit' : left
    }),
  ])
  return markdownTable(head, rows)
}

function goals(fits: ReadonlyMap<Variant, Fit>): string {
  const verdict = (what: string, variant: Variant, limitKib: number) => {
    const { neededBytes } = fits.get(variant)!
    const met = neededBytes <= limitKib * KIB ? 'yes' : '**NO**'
    return `| ${what} | ${Math.ceil(neededBytes / KIB)} KiB | ≤ ${limitKib} KiB | ${met} |\n`
  }
  return (
    '| goal | needed | bound | met? |\n| --- | ---: | ---: | --- |\n' +
    verdict('full client with handshake, `crypto-small`', 'small', 512) +
    verdict('full client with handshake, noble', 'noble', 512) +
    verdict('records only', 'records', 256)
  )
}

type Charges = Partial<Record<Operation, number>>

/** Arithmetic of a reading, of signing a block, and of a session, as a firmware asks for it. */
function charges(): Record<'reading' | 'block' | 'session', Charges> {
  const bench = createChipBench({ free: { bootBytes: 0, reserveBytes: 0, roomBytes: 0 } })
  const taken = (): Charges => {
    const now = bench.charges
    bench.charges = {}
    return now
  }
  const firmware = createFirmware(bench.host, bench.provision, nativeCrypto)
  bench.measure(firmware)
  taken()
  bench.measure(firmware)
  const reading = taken()
  firmware.closeBlock()
  const block = taken()
  bench.deliver(firmware)
  return { reading, block, session: taken() }
}

/** Time and energy of so much arithmetic. */
function cell(profile: Profile, what: Charges): string {
  const entries = Object.entries(what) as [Operation, number][]
  const ms = entries.reduce((sum, [name, times]) => sum + times * costMs(profile, name, 128), 0)
  const mJ = (ms * profile.milliamps.cpu * VOLTS) / 1_000
  return `${ms.toFixed(1)} ms, ${mJ.toFixed(2)} mJ`
}

function arithmeticTable(): string {
  const spent = charges()
  return markdownTable(
    ['chip', 'a reading', 'signing a block', 'handshake, report and receipt'],
    Object.entries(profiles).map(([name, profile]) => [
      name,
      cell(profile, spent.reading),
      cell(profile, spent.block),
      cell(profile, spent.session),
    ]),
  )
}

async function write(text: string): Promise<void> {
  const [start, end] = ['<!-- fit:start -->', '<!-- fit:end -->']
  const readme = readFileSync(README, 'utf8')
  const [from, to] = [readme.indexOf(start), readme.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`the README has no ${start} … ${end}`)
  const whole = `${readme.slice(0, from + start.length)}\n\n${text}\n${readme.slice(to)}`
  const style = (await resolveConfig(README)) ?? {}
  writeFileSync(README, await format(whole, { ...style, filepath: README }))
}

const fits: [Variant, Fit][] = []
for (const variant of variants) {
  process.stderr.write(`${variant} …\n`)
  fits.push([variant, await memoryOf(variant, await loadFirmware(variant))])
}
const text = [memoryTable(fits), goals(new Map(fits)), arithmeticTable()].join('\n')
process.stdout.write(text)
await write(text)
