import { CodedError } from '#errors'
import type { Measurement } from '#meter'
import { status } from '#reading'
import { isValueCode } from './values.ts'
import type { Telegram } from './types.ts'

/** What a telegram is compared with, also across a restart of the program. */
export interface FollowMemory {
  meterId: string | null
  powerFailures: number | null
}

/** A measurement but for its time, which is the caller's to decide. */
export type Followed = Omit<Measurement, 'timeS' | 'timeQuality' | 'ageS'>

/** How often in a row telegrams without a checksum have to agree that the meter is another one. */
const CONFIRM = 3

/**
 * One meter's telegrams, one after another, as measurements: notices that the meter was replaced
 * (its number is another) and that the power was off. A telegram without a checksum may lack a line
 * without anybody noticing, and a sum of tariffs would fall: it counts once it shows the same values
 * as the one before it, never from a meter that sends checksums, and not while it may be of another
 * meter, whose register would pass for energy.
 */
export function createFollower(remembered: FollowMemory | null) {
  let memory: FollowMemory = remembered ?? { meterId: null, powerFailures: null }
  let shape: string | null = null
  let sendsChecksums = false
  let other = { meterId: '', seen: 0 }

  /**
   * Throws `telegram/unconfirmed` or `telegram/no-power`; the telegram then counts for nothing.
   */
  function follow(telegram: Telegram): Followed {
    confirm(telegram)
    const { powerW } = telegram
    if (powerW === null) {
      throw new CodedError(
        'telegram/no-power',
        'the telegram shows no active power that could be read (1-0:1.7.0 or 1-0:16.7.0); ' +
          'some meters show it once they are unlocked with a PIN',
      )
    }
    const replaced = isReplaced(telegram)
    if (!replaced && isOther(telegram)) throw unconfirmed('of what may be another meter')
    const failed = hasFailed(telegram)
    memory = {
      meterId: replaced ? telegram.meterId : (memory.meterId ?? telegram.meterId),
      powerFailures: telegram.powerFailures ?? memory.powerFailures,
    }
    return {
      powerW,
      voltageDv: telegram.voltageDv[0],
      currentMa: telegram.currentMa[0],
      importWh: telegram.importWh,
      exportWh: telegram.exportWh,
      ...(replaced && { replaced }),
      ...(failed && { status: status.powerFail }),
    }
  }

  function confirm({ checked, codes }: Telegram): void {
    if (checked) {
      sendsChecksums = true
      return
    }
    if (sendsChecksums) throw unconfirmed('of a meter that sends one')
    const before = shape
    shape = codes.filter(isValueCode).join()
    if (shape !== before) throw unconfirmed('and with other lines than the one before it')
  }

  function isOther({ meterId }: Telegram): boolean {
    return meterId !== null && memory.meterId !== null && meterId !== memory.meterId
  }

  function isReplaced(telegram: Telegram): boolean {
    const { meterId, checked } = telegram
    if (meterId === null || !isOther(telegram)) {
      other = { meterId: '', seen: 0 }
      return false
    }
    other = { meterId, seen: meterId === other.meterId ? other.seen + 1 : 1 }
    return checked || other.seen >= CONFIRM
  }

  /** Another meter counts from elsewhere, so only a count that went up says something. */
  function hasFailed({ powerFailures, meterId }: Telegram): boolean {
    const before = memory.powerFailures
    const same = meterId === memory.meterId
    return same && before !== null && powerFailures !== null && powerFailures > before
  }

  return { follow, memory: (): FollowMemory => memory }
}

function unconfirmed(which: string): CodedError {
  const message = `a telegram without a checksum, ${which}: not counted`
  return new CodedError('telegram/unconfirmed', message)
}
