/**
 * npm run chaos -- chips [--chips 100] [--hours 168] [--sectors 32] [--seed N]
 *
 * Emulated chips with brown-outs: the power goes at random instants, also in the middle of a write to
 * the flash, while Wi-Fi comes and goes, clocks drift and the broker restarts. Virtual time, the core
 * of a fog node in this process; the same seed is the same run.
 */
import { profiles, type Profile, type ProfileName } from '../../apps/emulator/profiles.ts'
import { createPeople } from '../support/chip-people.ts'
import { createChance, type Chance } from '../sim/chance.ts'
import { startWallMs } from '../sim/clock.ts'
import { createEngine, type Engine } from '../sim/engine.ts'
import { createBroker } from '../sim/network.ts'
import { accountOf, type Account } from './chips/account.ts'
import { createDevice, type Device } from './chips/device.ts'
import { startFog } from './chips/fog.ts'
import { chaosOptions, markdownTable, say } from './options.ts'

const HOUR_MS = 3_600_000
/** The longest back-off, several times. */
const DRAIN_HOURS = 12
const WEATHER = { loss: 0.01, duplicate: 0.01, delayMs: 20, jitterMs: 100 }
const CLEAR = { loss: 0, duplicate: 0, delayMs: 20, jitterMs: 0 }
const CUT_EVERY_HOURS = 24
const BROKER_RESTARTS_EVERY_MS = 18 * HOUR_MS

export interface ChipsOptions {
  seed: number
  chips: number
  hours: number
  sectors: number
  /** Mean time between the power cuts of a chip; a day when absent. */
  cutEveryHours?: number
  /** Sees each device before it gets its power. */
  onDevice?(device: Device): void
}

export interface ChipsResult extends ChipsOptions {
  account: Account
  digest: string
  cuts: number
  inWrites: number
  sessions: number
  wifiLost: number
  outOfMemory: number
  rows: ChipRow[]
}

export interface ChipRow {
  profile: ProfileName
  chips: number
  mJPerDay: number
  awakeSPerDay: number
  pagesPerDay: number
  erasesPerDay: number
  /** Most erasures of one sector in ten years, with the sectors of the run and of the profile. */
  tenYears: number
  tenYearsProfile: number
  ratedErases: number
}

const names = Object.keys(profiles) as ProfileName[]

export async function chipsDrill(options: ChipsOptions): Promise<ChipsResult> {
  const { seed, chips, hours, sectors, cutEveryHours = CUT_EVERY_HOURS } = options
  const chance = createChance(seed)
  const engine = createEngine()
  const broker = createBroker(engine, chance, 'fog-broker', WEATHER)
  const people = createPeople(chance.bytes, startWallMs)
  const { authorityKey } = people
  const fog = startFog({ engine, chance, broker, own: people.enrol('fog', 'fog-1'), authorityKey })
  const profileOf = (index: number): Profile => profiles[names[index % names.length]!]
  const devices = Array.from({ length: chips }, (_, index) =>
    createDevice({
      engine,
      broker,
      profile: profileOf(index),
      own: people.enrol('meter', `chip-${index + 1}`),
      authorityKey,
      seed: seed + 7_919 * (index + 1),
      sectors,
    }),
  )
  const endMs = hours * HOUR_MS
  for (const device of devices) {
    options.onDevice?.(device)
    engine.after(chance.between(0, 120_000), () => device.chip.powerOn())
    brownOuts(engine, chance, device, { endMs, everyMs: cutEveryHours * HOUR_MS })
  }
  brokerRestarts(engine, chance, () => broker.restart(30_000), endMs)
  for (let hour = 1; hour <= hours; hour++) {
    await engine.runUntil(hour * HOUR_MS)
    if (hour % 24 === 0) say(`day ${hour / 24} of ${Math.ceil(hours / 24)}`)
  }
  broker.heal(CLEAR)
  for (const device of devices) {
    device.heal()
    device.chip.finish()
  }
  for (let hour = 1; hour <= DRAIN_HOURS && !devices.every(({ chip }) => chip.finished); hour++) {
    await engine.runUntil(endMs + hour * HOUR_MS)
  }
  const account = accountOf(devices, fog.blocks())
  account.problems.push(...fog.unexpected)
  const total = (name: string) => devices.reduce((sum, { counts }) => sum + (counts[name] ?? 0), 0)
  return {
    ...options,
    account,
    digest: engine.digest(),
    cuts: total('power-cut'),
    inWrites: total('cut-in-write'),
    sessions: total('session'),
    wifiLost: total('wifi-lost') + total('wifi-dropped'),
    outOfMemory: total('out-of-memory'),
    rows: names.flatMap((name, offset) =>
      rowOf(
        name,
        devices.filter((_, index) => index % names.length === offset),
        options,
      ),
    ),
  }
}

/** Cuts of this chip until the end: some in bursts, as a bad contact makes them; some for hours. */
function brownOuts(
  engine: Engine,
  chance: Chance,
  device: Device,
  { endMs, everyMs }: { endMs: number; everyMs: number },
): void {
  const offMs = () =>
    chance.happens(0.05) ? chance.between(1, 6) * HOUR_MS : chance.between(50, 60_000)
  const next = (waitMs: number): void => {
    engine.after(waitMs, () => {
      if (engine.nowMs >= endMs) return
      if (chance.happens(0.6)) {
        device.counts['cut-in-write'] = (device.counts['cut-in-write'] ?? 0) + 1
        device.chip.cutInWrite(chance.int(0, 12), offMs())
      } else device.chip.cut(offMs())
      next(chance.happens(0.3) ? chance.between(10, 5_000) : chance.wait(everyMs))
    })
  }
  next(chance.wait(everyMs))
}

function brokerRestarts(engine: Engine, chance: Chance, restart: () => void, endMs: number): void {
  engine.after(chance.wait(BROKER_RESTARTS_EVERY_MS), () => {
    if (engine.nowMs >= endMs) return
    restart()
    brokerRestarts(engine, chance, restart, endMs)
  })
}

function rowOf(profile: ProfileName, devices: readonly Device[], done: ChipsOptions): ChipRow[] {
  if (devices.length === 0) return []
  const days = done.hours / 24
  const mean = (of: (device: Device) => number) =>
    devices.reduce((sum, device) => sum + of(device), 0) / devices.length / days
  const erasesPerDay = mean(({ flash }) => flash.erases.reduce((sum, count) => sum + count, 0))
  const most = Math.max(...devices.map(({ flash }) => Math.max(...flash.erases)))
  const tenYears = (most / days) * 3_652
  const { flash } = profiles[profile]
  return [
    {
      profile,
      chips: devices.length,
      mJPerDay: Math.round(mean(({ chip }) => chip.spent().mJ)),
      awakeSPerDay: Math.round(mean(({ chip }) => awakeMs(chip.spent().ms)) / 1_000),
      pagesPerDay: Math.round(mean((device) => device.flash.programs)),
      erasesPerDay: Math.round(erasesPerDay * 10) / 10,
      tenYears: Math.ceil(tenYears),
      tenYearsProfile: Math.ceil((tenYears * done.sectors) / flash.sectors),
      ratedErases: flash.ratedErases,
    },
  ]
}

function awakeMs({ cpu, radio }: { cpu: number; radio: number }): number {
  return cpu + radio
}

const USAGE = `usage: npm run chaos -- chips [--chips 100] [--hours 168] [--sectors 32] [--seed N] [--json]

Emulated chips with brown-outs against the core of a fog node, in virtual time.
`

function report(result: ChipsResult): string {
  const { account, rows } = result
  const head = [
    'chip',
    'chips',
    'J a day',
    'awake, s a day',
    'pages a day',
    'sectors erased a day',
    `most erasures of a sector in ten years, ${result.sectors} sectors`,
    'with 256 sectors',
    'rated',
  ]
  const table = markdownTable(
    head,
    rows.map((row) => [
      row.profile,
      row.chips,
      Math.round(row.mJPerDay / 100) / 10,
      row.awakeSPerDay,
      row.pagesPerDay,
      row.erasesPerDay,
      row.tenYears,
      row.tenYearsProfile,
      row.ratedErases,
    ]),
  )
  const words =
    `${result.chips} chips, ${result.hours} h, seed ${result.seed}: ${account.readings} readings in ` +
    `${account.blocks} signed blocks, ${result.cuts} power cuts (${result.inWrites} aimed at a write), ` +
    `${result.sessions} sessions, ${result.wifiLost} of Wi-Fi lost; ` +
    (account.problems.length === 0
      ? 'every acknowledged reading held once, registers exact'
      : `PROBLEMS: ${account.problems.length}`)
  return `${words}\n\n${table}${account.problems.map((text) => `- ${text}\n`).join('')}`
}

export async function run(args: string[]): Promise<number> {
  const defaults = { chips: 100, hours: 168, sectors: 32 }
  const { options, code } = chaosOptions(args, USAGE, defaults)
  if (options === null) return code
  const { chips, hours, sectors } = { ...defaults, ...options.numbers }
  const result = await chipsDrill({ seed: options.seed, chips, hours, sectors })
  process.stdout.write(options.json ? `${JSON.stringify(result)}\n` : report(result))
  return result.account.problems.length === 0 ? 0 : 1
}
