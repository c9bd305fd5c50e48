import { defaults } from '#defaults'
import type { ChannelLimits } from './types.ts'

/** `#defaults` with what the caller wants different. */
export function channelLimits(changes: Partial<ChannelLimits> = {}): ChannelLimits {
  return {
    retransmitMs: defaults.handshake.retransmitMs,
    giveUpMs: defaults.handshake.giveUpMs,
    rekeyAfterMs: defaults.record.rekeyAfterMs,
    rekeyAfterRecords: defaults.record.rekeyAfterRecords,
    refuseAfterMs: defaults.record.refuseAfterMs,
    oldEpochMs: defaults.record.oldEpochMs,
    recheckMs: 60_000,
    unknownSessionMs: 5_000,
    halfOpen: 4_096,
    unknownChannels: 4_096,
    channelsPerDevice: 8,
    burst: defaults.handshake.burst,
    perSecond: defaults.handshake.perSecond,
    ...changes,
  }
}
