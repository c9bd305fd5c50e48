import { describe, expect, test } from 'vitest'
import { utf8 } from '#bytes'
import { nobleCrypto } from '#crypto'
import { createOpener, createSealer } from '#record'

describe('record', () => {
  test('opens what was sealed', () => {
    const context = {
      key: nobleCrypto.aead(new Uint8Array(32).fill(7)),
      iv: new Uint8Array(12).fill(9),
      channelId: 'abcdefgh',
      direction: 0 as const,
      epoch: 5,
      nowMs: 1_000,
    }
    const sealer = createSealer(context)
    const opener = createOpener(context)
    for (let i = 0; i < 300; i++) {
      const frame = sealer.seal(utf8(`message ${i}`), 1_000)
      expect(opener.open(frame, 1_000)).toEqual({ plaintext: utf8(`message ${i}`), counter: i })
    }
  })
})
