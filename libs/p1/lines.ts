import { CodedError } from '#errors'
import { crc16Arc, parseDecimal, shownIn, type Shown } from '#telegram'
import { toBytes, toText } from './text.ts'

/** One line: an OBIS code and what stands in its brackets. */
export interface Line {
  /** `A-B:C.D.E`, with `*F` only where that is not 255. */
  code: string
  groups: string[]
}

export interface Lines {
  /** After the slash: maker, baud rate, type. */
  ident: string
  lines: Line[]
  /** What has not the form of a line. */
  odd: string[]
  /** A checksum was there, and right. */
  checked: boolean
}

const LINE = /^([\x21-\x27\x2a-\x7e]{1,32})((?:\([\x20-\x27\x2a-\x7e]*\))+)$/
const CRC = /^[0-9A-Fa-f]{4}$/

/**
 * The lines of one telegram. Throws `p1/bad-crc`; `p1/damaged` when there is no checksum and
 * something has not the form of a line, because then nothing vouches for the others.
 */
export function parseLines(bytes: Uint8Array): Lines {
  const text = toText(bytes)
  const mark = Math.max(text.lastIndexOf('\n!'), text.lastIndexOf('\r!')) + 1
  const crc = text.slice(mark + 1).trimEnd()
  if (mark === 0) throw new CodedError('p1/damaged', 'a telegram without an end')
  const checked = crc !== ''
  if (checked) checkCrc(text.slice(0, mark + 1), crc)
  const [head = '', ...rest] = text.slice(0, mark).split(/\r\n|\r|\n/)
  const found = linesOf(rest)
  if (!checked && found.odd.length > 0) {
    throw new CodedError('p1/damaged', 'a telegram without a checksum has a line that is damaged')
  }
  return { ident: head.slice(1), checked, ...found }
}

function checkCrc(text: string, crc: string): void {
  if (CRC.test(crc) && fits(text, crc)) return
  const edited = !text.includes('\r') && fits(text.replaceAll('\n', '\r\n'), crc)
  throw new CodedError(
    'p1/bad-crc',
    edited
      ? 'the checksum is right for lines that end in CR LF; an editor has changed them: record again'
      : 'the checksum is wrong: bytes were lost or changed on the way',
  )
}

function fits(text: string, crc: string): boolean {
  return crc16Arc(toBytes(text)) === Number.parseInt(crc, 16)
}

function linesOf(rows: readonly string[]): Pick<Lines, 'lines' | 'odd'> {
  const lines: Line[] = []
  const odd: string[] = []
  for (const row of joined(rows)) {
    const match = LINE.exec(row)
    if (match === null) odd.push(row)
    else
      lines.push({
        code: codeOf(match[1] ?? ''),
        groups: (match[2] ?? '').slice(1, -1).split(')('),
      })
  }
  return { lines, odd }
}

/** DSMR 2 and 3 write the gas value on a line of its own. */
function joined(rows: readonly string[]): string[] {
  const whole: string[] = []
  for (const row of rows) {
    if (row.startsWith('(') && whole.length > 0) whole.push(`${whole.pop()}${row}`)
    else if (row !== '') whole.push(row)
  }
  return whole
}

/** A code without the `*255` that says nothing. */
export function codeOf(written: string): string {
  return written.endsWith('*255') ? written.slice(0, -4) : written
}

/** `00123.456*kWh` as an exact number with its unit; null when it is not a number. */
export function parseValue(code: string, text: string, unit?: string): Shown | null {
  const [digits = '', ...rest] = text.split('*')
  const value = parseDecimal(digits)
  return value === null ? null : shownIn(code, value, unit ?? rest.join('*'))
}
