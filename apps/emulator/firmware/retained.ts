import { decodeInts, encodeInts } from '#cbor'
import type { Host } from './host.ts'

/** What the firmware must not forget while it sleeps, and may after a power cut. */
export interface Retained {
  /** The same from one power cut to the next: `Boot` of #meter. */
  readonly bootId: number
  readonly failures: number
  readonly waitUntilMs: number
  /** After this many failures in a row, no connection before this monotonic time. */
  wait(failures: number, untilMs: number): void
}

export function openRetained(host: Host): Retained {
  const bytes = host.retained()
  const kept = bytes.length === 0 ? null : decodeInts(bytes)
  const bootId = kept?.[0] ?? newBootId(host)
  let failures = kept?.[1] ?? 0
  let waitUntilMs = kept?.[2] ?? 0
  const keep = () => host.retain(encodeInts([bootId, failures, waitUntilMs]))
  if (kept === null) keep()
  return {
    bootId,
    failures,
    get waitUntilMs() {
      return waitUntilMs
    },
    wait(count, untilMs) {
      failures = count
      waitUntilMs = Math.ceil(untilMs)
      keep()
    },
  }
}

/** 48 random bits. */
function newBootId(host: Host): number {
  return host.random(6).reduce((value, byte) => value * 256 + byte, 0)
}
