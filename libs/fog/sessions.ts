import { equal } from '#bytes'
import { isRevoked, type Credential, type RevocationList } from '#credential'
import { CodedError } from '#errors'
import { decodeUp, encodeDown, type ReceivedUp } from '#messages'
import { countRefused, reply, wallS, type Core } from './core.ts'
import { withdraw } from './in-flight.ts'
import { takeReport, takeSignature, takeUnreadable } from './intake.ts'
import { takeDelta, takeReading } from './live.ts'
import { newMeter, resetLive, type Meter } from './meter.ts'
import { newsFor, newsForAll } from './news.ts'
import { contain, endSession } from './session-end.ts'

/** A session opened or got fresh keys. The newest channel of a device wins. */
export function openSession(core: Core, channelId: string, peer: Credential): void {
  const meter = core.meters.get(peer.deviceId) ?? newMeter(core.crypto, peer)
  core.meters.set(peer.deviceId, meter)
  if (meter.channelId !== channelId) {
    const old = meter.channelId
    resetLive(meter)
    meter.liveAsked = false
    meter.toldList = -1
    meter.receiptedMs = -Infinity
    meter.channelId = channelId
    core.channels.set(channelId, meter)
    if (old !== null) {
      core.channels.delete(old)
      // Heard only by a program that is still there: then two of them have one identity.
      core.link.send(old, encodeDown({ type: 'ended', code: 'superseded' }))
      core.link.drop(old, 'superseded')
    }
  }
  // The same object as long as it is the same credential: verifiers cache keys by it.
  if (!equal(meter.credential.encoded, peer.encoded)) meter.credential = peer
}

/** One message of an open session; whatever it holds, nothing is thrown. */
export function takeMessage(core: Core, channelId: string, payload: Uint8Array): void {
  const meter = core.channels.get(channelId)
  core.counters.messages += 1
  if (meter === undefined) return countRefused(core, 'no-session')
  contain(core, meter, () => {
    let message: ReceivedUp | null = null
    guard(
      () => {
        message = decodeUp(payload)
      },
      (error) => countRefused(core, error.code),
    )
    if (message !== null) dispatch(core, meter, message)
  })
}

function dispatch(core: Core, meter: Meter, message: ReceivedUp): void {
  switch (message.type) {
    case 'hello':
      return greet(core, meter, message.oldestHeld)
    case 'live':
      return live(core, meter, () => takeDelta(meter, message.values))
    case 'reading':
      return live(core, meter, () => takeReading(meter, message.reading))
    case 'block':
      return guard(
        () => takeSignature(core, meter, message),
        (error) => {
          countRefused(core, error.code)
          reply(core, meter, { type: 'resend', from: meter.tip.number + 1 })
        },
      )
    case 'report':
      return guard(
        () => takeReport(core, meter, message.body),
        (error) => takeUnreadable(core, meter, error),
      )
    case 'items':
    case 'credential':
      return countRefused(core, 'not-for-a-fog')
  }
}

/** Only what is known to be wrong with the message is the meter's: anything else is ours. */
function guard(work: () => void, otherwise: (error: CodedError) => void): void {
  try {
    work()
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    otherwise(error)
  }
}

/** What the meter gave up is not waited for; what is durable it need not send again. */
function greet(core: Core, meter: Meter, oldestHeld: number): void {
  resetLive(meter)
  const gone = oldestHeld - 1
  if (gone > meter.tip.number) meter.givenUpThrough = gone
  reply(core, meter, { type: 'welcome', durable: Math.max(meter.durable.number, gone) })
  newsFor(core, meter)
}

function live(core: Core, meter: Meter, take: () => ReturnType<typeof takeDelta>): void {
  guard(
    () => {
      const reading = take()
      core.counters.live += 1
      if (reading === null) return askForLive(core, meter)
      meter.liveAsked = false
      if (meter.latest === null || reading.number > meter.latest.number) meter.latest = reading
    },
    (error) => {
      countRefused(core, error.code)
      askForLive(core, meter)
    },
  )
}

/** Live readings whose base was lost mean nothing; asked once, the meter starts over in full. */
function askForLive(core: Core, meter: Meter): void {
  countRefused(core, 'no-base')
  if (meter.liveAsked) return
  meter.liveAsked = true
  reply(core, meter, { type: 'resend', from: meter.tip.number + 1 })
}

/**
 * Ends the sessions of revoked meters and takes back what of theirs is not durable yet; the others
 * get the list.
 */
export function applyRevocations(core: Core, list: RevocationList): void {
  core.revocations = list
  for (const meter of core.meters.values()) {
    const revoked = meter.pending.find(({ credential }) => isRevoked(list, credential))
    if (revoked) {
      withdraw(core, revoked)
      countRefused(core, 'credential/revoked')
    }
    if (meter.channelId === null || !isRevoked(list, meter.credential)) continue
    core.events.add('revoked', meter.deviceId, wallS(core), 'its credential has been revoked')
    endSession(core, meter, 'credential/revoked')
  }
  newsForAll(core)
}
