/**
 * Makes the excerpt in data/ from the one-minute household CSV (see data/ATTRIBUTION.md):
 *
 *   node libs/household/make-excerpt.ts uci-household-1min.csv.gz libs/household/data/household-days.txt.gz
 *
 * Keeps whole days only (at most ten missing minutes), active power in W, voltage in 0.1 V and
 * current in mA. Running it again gives the same content.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { gunzipSync, gzipSync } from 'node:zlib'
import { parseCsv } from './csv.ts'
import { formatExcerpt, type ExcerptDay } from './excerpt.ts'

const LEAST_MINUTES = 1_430
const COMMENT = [
  'One house in Sceaux (France), one-minute means. CC BY 4.0.',
  'G. Hebrail and A. Berard, UCI Machine Learning Repository, doi 10.24432/C58K54.',
  'Changed: whole days only; active power in W, voltage in 0.1 V, current in mA.',
  'Lines: @date, then 1440 of power_w,voltage_dv,current_ma; empty = missing in the source.',
]

function daysOf(csv: string): ExcerptDay[] {
  const byDate = new Map<string, ExcerptDay>()
  for (const { timeS, powerW, voltageDv, currentMa } of parseCsv(csv)) {
    if (timeS === null || voltageDv === null || currentMa === null) continue
    const date = new Date(timeS * 1000).toISOString().slice(0, 10)
    const day = byDate.get(date) ?? { date, samples: [] }
    byDate.set(date, day)
    day.samples.push({ minute: Math.floor((timeS % 86_400) / 60), powerW, voltageDv, currentMa })
  }
  return [...byDate.values()].filter((day) => day.samples.length >= LEAST_MINUTES)
}

const [input, output] = process.argv.slice(2)
if (input === undefined || output === undefined) {
  console.error('usage: make-excerpt.ts INPUT.csv.gz OUTPUT.txt.gz')
  process.exitCode = 2
} else {
  const days = daysOf(gunzipSync(readFileSync(input)).toString('utf8'))
  const packed = gzipSync(formatExcerpt(days, COMMENT), { level: 9 })
  writeFileSync(output, packed)
  console.log(`${days.length} days, ${packed.length} bytes`)
}
