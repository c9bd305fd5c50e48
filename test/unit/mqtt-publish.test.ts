import * as fc from 'fast-check'
import { generate, parser, type IPublishPacket } from 'mqtt-packet'
import { expect, test } from 'vitest'
import { encodePublish } from '../../libs/mqtt-link/publish.ts'

const flags = { cmd: 'publish', qos: 0, dup: false, retain: false } as const

/** Both sides of every border between lengths of the length (MQTT 3.1.1 table 2.4). */
const borders = [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152]
const topic = 'fm/1/fog-1/dn/AbCd_-12'

test.each(borders)('a packet with %i bytes after its header', (remaining) => {
  const payload = Buffer.alloc(Math.max(0, remaining - 2 - topic.length), 0xa5)
  expect(encodePublish(topic, payload).equals(generate({ ...flags, topic, payload }))).toBe(true)
})

test('any topic and payload as mqtt-packet writes and reads them', () => {
  const name = fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 80 })
  fc.assert(
    fc.property(name, fc.uint8Array({ maxLength: 400 }), (topicName, bytes) => {
      const payload = Buffer.from(bytes)
      const packet = encodePublish(topicName, bytes)
      expect(packet).toEqual(generate({ ...flags, topic: topicName, payload }))
      const read: IPublishPacket[] = []
      const reader = parser()
      reader.on('packet', (found) => read.push(found as IPublishPacket))
      reader.parse(packet)
      expect(read.map((found) => [found.topic, found.payload])).toEqual([[topicName, payload]])
    }),
  )
})
