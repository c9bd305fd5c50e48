import { readFileSync } from 'node:fs'
import { concat } from '#bytes'
import { crc16Arc, crc16X25, type Frame } from '#telegram'

/** A telegram as a meter sent it; test/vectors/data/README.md says whose. */
export function recorded(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`../vectors/data/${name}`, import.meta.url)))
}

export function latin1(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'latin1'))
}

/** A P1 telegram of these lines, with its checksum unless told otherwise. */
export function p1Telegram(lines: readonly string[], crc?: string): Uint8Array {
  const text = `${['/ISK5\\2M550T-1012', '', ...lines].join('\r\n')}\r\n!`
  const right = crc16Arc(latin1(text)).toString(16).toUpperCase().padStart(4, '0')
  return latin1(`${text}${crc ?? right}\r\n`)
}

/** An SML file in its transport frame. */
export function smlFrame(content: Uint8Array): Uint8Array {
  const doubled: number[] = []
  let run = 0
  for (const byte of content) {
    doubled.push(byte)
    run = byte === 0x1b ? run + 1 : 0
    if (run === 4) {
      doubled.push(0x1b, 0x1b, 0x1b, 0x1b)
      run = 0
    }
  }
  const fill = (4 - (doubled.length % 4)) % 4
  const escape = [0x1b, 0x1b, 0x1b, 0x1b]
  const head = [...escape, 1, 1, 1, 1]
  const end = [...Array<number>(fill).fill(0), ...escape, 0x1a, fill]
  const covered = Uint8Array.from([...head, ...doubled, ...end])
  const crc = crc16X25(covered)
  return concat(covered, Uint8Array.of(crc & 0xff, crc >> 8))
}

/** Whole telegrams, and the codes of what was lost. */
export function outcome(frames: readonly Frame[]): { telegrams: Uint8Array[]; lost: string[] } {
  return {
    telegrams: frames.flatMap((frame) => ('bytes' in frame ? [frame.bytes] : [])),
    lost: frames.flatMap((frame) => ('lost' in frame ? [frame.lost.code] : [])),
  }
}
