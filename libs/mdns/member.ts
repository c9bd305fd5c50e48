/** A fog node in the group of one interface: what it says there, and when. RFC 6762 §6 and §8.3. */
import { TokenBucket } from '#channel'
import type { Clock, Random } from '#ports'
import { announcementOf, concerns, legacyAnswer } from './answers.ts'
import { PORT, type Group, type GroupEvents, type Sender } from './group.ts'
import type { Interface } from './interfaces.ts'
import { decodeMessage, encodeMessage } from './message.ts'
import type { Advert } from './names.ts'

export interface MemberOptions {
  at: Interface
  advert: Advert
  clock: Clock
  random: Random
  join: (at: Interface, events: GroupEvents, onJoined: () => void) => Group
  onJoined: () => void
  onFailed: (error: NodeJS.ErrnoException) => void
}

export interface Member {
  /** Says goodbye, so that nobody comes in vain; then it is silent. */
  leave(): Promise<void>
}

/** Messages looked at, and answers to single askers: what a network has, and no more from a flood. */
const [LOOKS, ANSWERS] = [
  { burst: 100, perSecond: 50 },
  { burst: 10, perSecond: 5 },
] as const
/** RFC 6762 §6: others may be about to answer the same question. */
const [SOONEST_MS, SPREAD_MS] = [20, 100]
/** RFC 6762 §6: the same record not more often. */
const PAUSE_MS = 1_000

export function createMember(options: MemberOptions): Member {
  const { at, advert, clock, random } = options
  const looks = new TokenBucket(LOOKS.burst, LOOKS.perSecond, clock.monotonic())
  const answers = new TokenBucket(ANSWERS.burst, ANSWERS.perSecond, clock.monotonic())
  let timer: NodeJS.Timeout | undefined
  let saidMs = -Infinity
  let left = false
  const group = options.join(
    at,
    {
      message: heard,
      failed(error) {
        end()
        options.onFailed(error)
      },
    },
    () => {
      // RFC 6762 §8.3: twice, a second apart.
      announce()
      announceIn(PAUSE_MS)
      options.onJoined()
    },
  )

  function heard(bytes: Uint8Array, from: Sender): void {
    if (left || !looks.take(clock.monotonic())) return
    const query = decodeMessage(bytes)
    if (query === null || !concerns(query, advert)) return
    if (from.port === PORT) {
      const jitter = ((random(1)[0] ?? 0) / 255) * SPREAD_MS
      announceIn(Math.max(SOONEST_MS + jitter, saidMs + PAUSE_MS - clock.monotonic()))
    } else if (answers.take(clock.monotonic())) {
      void group.send(encodeMessage(legacyAnswer(query, advert, at.address)), from)
    }
  }

  function announceIn(waitMs: number): void {
    timer ??= setTimeout(announce, waitMs)
  }

  function announce(): void {
    clearTimeout(timer)
    timer = undefined
    saidMs = clock.monotonic()
    void group.send(encodeMessage(announcementOf(advert, at.address)))
  }

  function end(): void {
    left = true
    clearTimeout(timer)
  }

  return {
    async leave() {
      if (left) return
      end()
      await group.send(encodeMessage(announcementOf(advert, at.address, 0)))
      group.close()
    },
  }
}
