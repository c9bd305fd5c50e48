import type { Block } from '#reading'
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
  const { deviceId, recorded, acknowledged } = device
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
  if (readings.length !== recorded.length) {
    say(`${recorded.length} readings were recorded, ${readings.length} are held`)
  }
  const inOrder = readings.toSorted((a, b) => a.number - b.number)
  for (const [index, shown] of recorded.entries()) {
    const reading = inOrder[index]
    if (reading === undefined) break
    const { number, powerW, importWh, exportWh } = reading
    const same =
      powerW === shown.powerW && importWh === shown.importWh && exportWh === shown.exportWh
    if (!same) say(`reading ${number} has ${importWh} Wh, the meter showed ${shown.importWh}`)
  }
  const last = blocks.at(-1)?.statement
  const shown = recorded.at(-1)
  if (last?.endImportWh !== shown?.importWh || last?.endExportWh !== shown?.exportWh) {
    say('the last signed registers are not what the meter showed last')
  }
  return problems.slice(0, 5)
}
