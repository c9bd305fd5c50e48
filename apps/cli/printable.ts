/**
 * Text from elsewhere made harmless for a terminal: control characters (C0, DEL, C1) and the marks
 * that reorder or break lines appear as escapes. Names cannot hold any, but a terminal obeys the
 * bytes it gets, not our rules.
 */
export function printable(text: string): string {
  let result = ''
  for (const character of text) {
    const point = character.codePointAt(0) ?? 0
    result += isHarmless(point) ? character : escapeOf(point)
  }
  return result
}

function isHarmless(point: number): boolean {
  const isControl = point < 0x20 || (point >= 0x7f && point < 0xa0)
  const isMark = point === 0x061c || point === 0x200e || point === 0x200f
  const isLineOrBidi = (point >= 0x2028 && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069)
  return !isControl && !isMark && !isLineOrBidi
}

function escapeOf(point: number): string {
  return `\\u${point.toString(16).padStart(4, '0')}`
}

/** The same for text of several lines. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n')
}
