/** As much of systemd.unit(5) as our own units use. */

/** Section → setting → its values in order; an empty assignment has forgotten earlier ones. */
export type Unit = ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>

/**
 * Parses a unit file. `instance` stands for %i.
 * @throws Error with the line that is neither section, setting nor comment
 */
export function parseUnit(text: string, instance = ''): Unit {
  const unit = new Map<string, Map<string, string[]>>()
  let section = new Map<string, string[]>()
  for (const line of text.replaceAll('\\\n', ' ').split('\n')) {
    if (/^\s*([#;].*)?$/.test(line)) continue
    const name = /^\[(.+)\]$/.exec(line)?.[1]
    const [, key = '', value = ''] = /^([A-Za-z]+)=(.*)$/.exec(line) ?? []
    if (name !== undefined) unit.set(name, (section = unit.get(name) ?? new Map()))
    else if (key === '') throw new Error(`not a line of a unit file: ${line}`)
    else section.set(key, value === '' ? [] : [...(section.get(key) ?? []), expand(value)])
  }
  return unit

  function expand(value: string): string {
    return value.trim().replaceAll('%i', instance).replaceAll('%%', '%')
  }
}

/** Every word of a setting that is a list, e.g. of paths or users. */
export function words(unit: Unit, section: string, key: string): string[] {
  return (unit.get(section)?.get(key) ?? []).flatMap((value) => value.split(/\s+/))
}

/** The last value given, undefined without one. */
export function last(unit: Unit, section: string, key: string): string | undefined {
  return unit.get(section)?.get(key)?.at(-1)
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, min: 60_000 }

/** A time span in ms, such as `120`, `500ms` or `2min`. @throws Error when it is none */
export function spanMs(text: string): number {
  const [, number, unit = 's'] = /^(\d+) ?(ms|s|min)?$/.exec(text) ?? []
  if (number === undefined) throw new Error(`not a time span: ${text}`)
  return Number(number) * (unitMs[unit] ?? 1_000)
}
