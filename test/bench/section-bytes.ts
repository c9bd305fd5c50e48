/** Sizes on the wire: exact, from the real encoders and the household data. */
import { createInitiator, createResponder, type Initiator, type ResponderOutput } from '#channel'
import { nativeCrypto } from '#crypto-native'
import { loadExcerpt, replayDay } from '#household'
import { encodeUp } from '#messages'
import { systemClock, systemRandom } from '#service'
import { atMost, median, type Figure } from './figures.ts'
import { MeterSource } from './meter-source.ts'
import { encodePublish } from './mqtt-client.ts'
import { meterName, newTrust, node, personOf } from './people.ts'

/** A meter that has been running for years, and a session that has been open for hours. */
const firstNumber = 2 ** 24
const recordsBefore = 5_000
const channelId = 'Zm9nbWV0'
const topic = `fm/1/${node}/up/${channelId}`

export async function bytesSection(): Promise<Figure[]> {
  const { initiator, handshakeBytes } = openChannel()
  for (let i = 0; i < recordsBefore; i++) initiator.send(new Uint8Array(1))
  const days = await loadExcerpt()
  const own = personOf(meterName(0), 'meter')
  const source = () =>
    new MeterSource(own, [...replayDay(days, 0)], {
      house: 0,
      intervalS: 60,
      firstNumber,
      importWh: 15_000_000,
    })
  const size = (payload: Uint8Array) => encodePublish(topic, initiator.send(payload)).length
  const live = liveSizes(source(), size)
  const reports = reportSizes(source(), size)
  return [
    figure('PUBLISH of a live reading, median of a day', median(live), null),
    figure('PUBLISH of a live reading, largest of the day', Math.max(...live), 64),
    figure('PUBLISH of a signed report of 16, per reading, median', median(reports), null),
    figure('PUBLISH of a signed report of 16, per reading, largest', Math.max(...reports), 26),
    figure('EDHOC messages 1 to 4, credentials by value', handshakeBytes, 800),
  ]
}

function figure(what: string, value: number, limit: number | null): Figure {
  const goal = limit === null ? {} : { goal: atMost(limit) }
  return { section: 'bytes', what, median: value, unit: 'B', ...goal }
}

/** A day of readings a minute apart, after the first, which goes in full. */
function liveSizes(source: MeterSource, size: (payload: Uint8Array) => number): number[] {
  const messages = Array.from({ length: 90 }, () => source.block('live').messages).flat()
  return messages
    .slice(1)
    .filter(({ last }) => last === 0)
    .map(({ payload }) => size(payload))
}

function reportSizes(source: MeterSource, size: (payload: Uint8Array) => number): number[] {
  return Array.from({ length: 90 }, () => {
    const [message] = source.block('block').messages
    return size(message?.payload ?? encodeUp({ type: 'hello', oldestHeld: 1, next: 1 })) / 16
  })
}

/** Both ends of a channel after their handshake, and the bytes it took in both directions. */
function openChannel(): { initiator: Initiator; handshakeBytes: number } {
  const common = { crypto: nativeCrypto, random: systemRandom, clock: systemClock }
  const responder = createResponder({
    ...common,
    own: personOf(node, 'fog'),
    trust: newTrust(),
    peerRole: 'meter',
    group: 'default',
  })
  const initiator = createInitiator({
    ...common,
    own: personOf(meterName(0), 'meter'),
    trust: newTrust(),
    peerRole: 'fog',
    node,
    channelId,
  })
  let handshakeBytes = 0
  let up = framesOf(initiator.start())
  while (up.length > 0) {
    const down = up.flatMap((frame) => framesOf(responder.receive(channelId, frame)))
    for (const frame of [...up, ...down]) handshakeBytes += frame.length
    up = down.flatMap((frame) => framesOf(initiator.receive(frame)))
  }
  if (initiator.state !== 'open') throw new Error('the handshake failed')
  return { initiator, handshakeBytes }
}

function framesOf(outputs: readonly ({ type: string } | ResponderOutput)[]): Uint8Array[] {
  return outputs.flatMap((output) => ('bytes' in output ? [output.bytes] : []))
}
