import type { Measurement } from '#meter'
import type { ModbusTelegram } from '#modbus'
import type { MbusChannel, P1Telegram } from '#p1'
import type { SmlTelegram } from '#sml'
import type { Phases, Telegram } from '#telegram'
import { printable } from './printable.ts'

/** One telegram or measurement for people: a headline, and a line for each thing it shows. */
export function describe(item: Telegram | Measurement): string {
  const [head, rows] =
    'codes' in item
      ? [headOf(item), telegramRows(item)]
      : [momentOf(item.timeS), measurementRows(item)]
  const lines = rows.map(([name, value]) => `  ${name.padEnd(18)}${printable(value)}`)
  return `${[printable(head), ...lines].join('\n')}\n`
}

type Row = readonly [name: string, value: string]

function headOf(telegram: Telegram): string {
  const { ident, maker } = telegram as Partial<P1Telegram & SmlTelegram & ModbusTelegram>
  const who = ident ?? maker ?? 'meter'
  const when = telegram.timeS === null ? null : momentOf(telegram.timeS)
  return [who, telegram.meterId, when].filter((part) => part !== null).join('  ')
}

function telegramRows(telegram: Telegram): Row[] {
  const { importWh, exportWh, powerW, phasePowerW, voltageDv, currentMa, powerFailures } = telegram
  const { channels = [] } = telegram as Partial<P1Telegram>
  return [
    ...row('import', importWh, kilowattHours),
    ...tariffRows('import', telegram.importByTariffWh),
    ...row('export', exportWh, kilowattHours),
    ...tariffRows('export', telegram.exportByTariffWh),
    ...row('power', powerW, (value) => `${value} W`),
    ...phaseRow('power L1 L2 L3', phasePowerW, (value) => `${value} W`),
    ...phaseRow('voltage', voltageDv, volts),
    ...phaseRow('current', currentMa, amperes),
    ...row('power failures', powerFailures, String),
    ...channels.map(channelRow),
    ...(telegram.checked ? [] : [['checksum', 'none'] as const]),
    ...telegram.unread.map(({ what, why }): Row => ['not read', `${what}: ${why}`]),
  ]
}

function measurementRows(measurement: Measurement): Row[] {
  const {
    powerW,
    voltageDv = null,
    currentMa = null,
    importWh = null,
    exportWh = null,
  } = measurement
  return [
    ...row('import', importWh, kilowattHours),
    ...row('export', exportWh, kilowattHours),
    ['power', `${powerW} W`],
    ...row('voltage', voltageDv, volts),
    ...row('current', currentMa, amperes),
  ]
}

function tariffRows(name: string, byTariff: Record<number, number>): Row[] {
  return Object.entries(byTariff).map(([tariff, wh]) => [`  ${name} ${tariff}`, kilowattHours(wh)])
}

function channelRow({ channel, kind, meterId, timeS, value, unit }: MbusChannel): Row {
  const shown =
    value === null
      ? 'no value'
      : unit === 'l'
        ? `${(value / 1_000).toFixed(3)} m³`
        : `${value} ${unit}`
  const when = timeS === null ? '' : `  ${momentOf(timeS)}`
  return [
    `M-Bus ${channel}${kind === null ? '' : ` ${kind}`}`,
    `${shown}${when}  ${meterId ?? ''}`.trimEnd(),
  ]
}

function row(name: string, value: number | null, text: (value: number) => string): Row[] {
  return value === null ? [] : [[name, text(value)]]
}

function phaseRow(name: string, phases: Phases, text: (value: number) => string): Row[] {
  const values = phases.filter((value) => value !== null)
  return values.length === 0 ? [] : [[name, values.map(text).join('  ')]]
}

function kilowattHours(wh: number): string {
  return `${(wh / 1_000).toFixed(3)} kWh`
}

function volts(value: number): string {
  return `${(value / 10).toFixed(1)} V`
}

function amperes(value: number): string {
  return `${(value / 1_000).toFixed(2)} A`
}

function momentOf(timeS: number): string {
  return `${new Date(timeS * 1_000).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}
