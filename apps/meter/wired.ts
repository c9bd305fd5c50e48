import type { Readable } from 'node:stream'
import type { WiredSource } from '#config'
import type { Clock } from '#ports'
import { askedMeter } from './modbus-source.ts'
import type { PortReport } from './port-report.ts'
import { telegrams, type Received } from './telegrams.ts'

export interface WiredOptions {
  source: WiredSource
  clock: Clock
  /** What the port `-` stands for. */
  input: Readable
  signal: AbortSignal
  report: PortReport
  /** Gets every byte a port says. */
  record?: ((bytes: Uint8Array) => void) | undefined
  /** Bounds of the waits between attempts, and how long silence is believed. */
  waits?: { firstMs: number; maxMs: number; silenceMs: number } | undefined
}

/** What the meter at the other end of a wire says: by itself, or because it is asked. */
export function received(options: WiredOptions): AsyncGenerator<Received, void> {
  const { source, waits } = options
  if (source.kind !== 'modbus') return telegrams({ ...options, source })
  return askedMeter({ ...options, source, waits: waits && { ...waits, answerMs: waits.silenceMs } })
}

/** True for a source with a meter at the other end of a wire. */
export function isWired(source: { kind: string }): source is WiredSource {
  return source.kind === 'p1' || source.kind === 'sml' || source.kind === 'modbus'
}

/** What the log calls it. */
export function wireName(source: WiredSource): string {
  return source.kind === 'modbus' ? `${source.port}, unit ${source.unit}` : source.port
}
