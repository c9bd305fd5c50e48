import type { Block, Reading } from '#reading'
import type { Shown } from '../../../apps/emulator/surroundings.ts'
import type { Device } from './device.ts'

export interface Account {
  readings: number
  blocks: number
  /** In words; none when everything is as it was promised. */
  problems: string[]
}

/** Holds what the fog node has against what the meters on the wall showed. */
export function accountOf(
  devices: readonly Device[],
  held: ReadonlyMap<string, readonly Block[]>,
): Account {
  const account: Account = { readings: 0, blocks: 0, problems: [] }
  for (const device of devices) {
    const blocks = held.get(device.deviceId) ?? []
    account.blocks += blocks.length
    account.readings += blocks.reduce((sum, { readings }) => sum + readings.length, 0)
    account.problems.push(...problemsOf(device, blocks))
  }
  return account
}

function problemsOf(device: Device, blocks: readonly Block[]): string[] {
  const { deviceId, shown, acknowledged } = device
  const problems: string[] = []
  const say = (text: string) => void problems.push(`${deviceId}: ${text}`)
  if (!device.chip.finished) say('has not delivered everything')
  for (const name of [
    'crashed',
    'gave-up',
    'readings-given-up',
    'not-recorded',
    'numbers-raised',
  ]) {
    if ((device.counts[name] ?? 0) > 0) say(`${name} ${device.counts[name]} times`)
  }
  const readings = blocks.flatMap((block) => block.readings)
  const numbers = new Set(readings.map(({ number }) => number))
  if (numbers.size !== readings.length) say('a reading is held twice')
  for (let number = 1; number <= acknowledged; number++) {
    if (!numbers.has(number)) say(`reading ${number} was acknowledged and is not held`)
  }
  const inOrder = readings.toSorted((a, b) => a.number - b.number)
  for (const problem of compare(inOrder, shown)) say(problem)
  const last = blocks.at(-1)?.statement
  const newest = inOrder.at(-1)
  if (last?.endImportWh !== newest?.importWh || last?.endExportWh !== newest?.exportWh) {
    say('the last signed registers are not those of the last reading')
  }
  return problems.slice(0, 5)
}

/** Every reading is one that was shown, in that order; every one that was recorded is there. */
function compare(readings: readonly Reading[], shown: Device['shown']): string[] {
  let next = 0
  for (const reading of readings) {
    while (shown[next]?.recorded === false && !same(reading, shown[next])) next += 1
    const { number, importWh } = reading
    if (!same(reading, shown[next])) {
      return [`reading ${number} has ${importWh} Wh, the meter showed ${shown[next]?.importWh}`]
    }
    next += 1
  }
  const missing = shown.slice(next).filter(({ recorded }) => recorded).length
  return missing === 0 ? [] : [`${missing} readings were recorded last and are not held`]
}

function same(reading: Shown, shown: Shown | undefined): boolean {
  return (
    reading.powerW === shown?.powerW &&
    reading.importWh === shown.importWh &&
    reading.exportWh === shown.exportWh
  )
}
