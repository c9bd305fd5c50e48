import { createCipheriv, createPrivateKey, sign } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concat, fromHex, fromUtf8, toHex, utf8 } from '#bytes'
import { decode, encode, type CborValue } from '#cbor'
import {
  decodeSign1,
  decryptEncrypt0,
  encryptEncrypt0,
  encStructure,
  sigStructure,
  signSign1,
  verifySign1,
} from '#cose'
import { nobleCrypto } from '#crypto'
import { nodeCrypto } from '#crypto-node'
import { codeThrown } from '../support/coded.ts'

const seed = new Uint8Array(32).fill(3)
const key = nodeCrypto.signingKey(seed)
const verifier = nodeCrypto.verifyKey(key.publicKey)
const payload = utf8('This is the content.')
const purpose = utf8('fogmeter test')
const bytes = fc.uint8Array({ maxLength: 80 })

/** A message whose parts are replaced after signing. */
function altered(change: (parts: CborValue[]) => void): Uint8Array {
  const parts = decode(signSign1({ payload, key })) as CborValue[]
  change(parts)
  return encode(parts)
}

/** A Sign1 message with any protected header, properly signed over it. */
function signedWith(protectedBytes: Uint8Array, unprotected = new Map()): Uint8Array {
  const signature = key.sign(sigStructure(protectedBytes, new Uint8Array(0), payload))
  return encode([protectedBytes, unprotected, payload, signature])
}

describe('COSE_Sign1', () => {
  test('example eddsa-sig-01 of the COSE working group (cose-wg/Examples), without its tag', () => {
    const published = fromHex(
      'd28445a201270300a10442313154546869732069732074686520636f6e74656e742e58407142fd2ff96d56db85be' +
        'e905a76ba1d0b7321a95c8c4d3607c5781932b7afb8711497dfa751bf40b58b3bcc32300b1487f3db34085ee' +
        'f013bf08f4a44d6fef0d',
    )
    const untagged = published.subarray(1)
    const publicKey = fromHex('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a')
    const read = verifySign1(untagged, nobleCrypto.verifyKey(publicKey))
    expect(fromUtf8(read.payload)).toBe('This is the content.')
    expect(read.unprotected).toEqual(new Map([[4, utf8('11')]]))
    const { protectedBytes } = decodeSign1(untagged)
    expect(toHex(sigStructure(protectedBytes, new Uint8Array(0), read.payload))).toBe(
      '846a5369676e61747572653145a2012703004054546869732069732074686520636f6e74656e742e',
    )
    expect(codeThrown(() => decodeSign1(published))).toBe('cose/malformed') // ours carry no tag
  })

  test('byte for byte what RFC 9052 §4.4 spells out, signed by node:crypto', () => {
    const der = concat(fromHex('302e020100300506032b657004220420'), seed)
    const own = createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' })
    const toBeSigned = concat(
      fromHex('84'),
      fromHex('6a'),
      utf8('Signature1'),
      fromHex('43a10127'),
      fromHex('4d'),
      purpose,
      fromHex('54'),
      payload,
    )
    const expected = concat(
      fromHex('84'),
      fromHex('43a10127'),
      fromHex('a0'),
      fromHex('54'),
      payload,
      fromHex('5840'),
      sign(null, toBeSigned, own),
    )
    expect(toHex(signSign1({ payload, key, externalAad: purpose }))).toBe(toHex(expected))
  })

  test('comes back as it went, attached or detached', () => {
    fc.assert(
      fc.property(bytes, bytes, fc.boolean(), (content, externalAad, detached) => {
        const message = signSign1({ payload: content, key, externalAad, detached })
        const options = detached ? { externalAad, payload: content } : { externalAad }
        expect(verifySign1(message, verifier, options).payload).toEqual(content)
      }),
      { numRuns: 40 },
    )
  })

  test('a changed bit anywhere is noticed', () => {
    const message = signSign1({ payload, key })
    for (let bit = 0; bit < message.length * 8; bit += 3) {
      const changed = Uint8Array.from(message)
      changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7))
      expect(codeThrown(() => verifySign1(changed, verifier))).toMatch(/^cose\//)
    }
  })

  test('a signature made for one purpose does not serve another', () => {
    const message = signSign1({ payload, key, externalAad: purpose })
    expect(codeThrown(() => verifySign1(message, verifier))).toBe('cose/bad-signature')
    // without the purpose under the signature the same message would do for both
    const loose = signSign1({ payload, key })
    expect(verifySign1(loose, verifier).payload).toEqual(payload)
  })

  test('a detached payload is asked for, and never given twice', () => {
    const attached = signSign1({ payload, key })
    const detached = signSign1({ payload, key, detached: true })
    expect(decodeSign1(detached).payload).toBeNull()
    expect(codeThrown(() => verifySign1(detached, verifier))).toBe('cose/malformed')
    expect(codeThrown(() => verifySign1(attached, verifier, { payload }))).toBe('cose/malformed')
    expect(codeThrown(() => verifySign1(detached, verifier, { payload: purpose }))).toBe(
      'cose/bad-signature',
    )
  })

  test('unprotected headers are carried, unsigned', () => {
    const message = signSign1({ payload, key, unprotected: new Map([[4, utf8('kid')]]) })
    expect(verifySign1(message, verifier).unprotected.get(4)).toEqual(utf8('kid'))
    const other = altered((parts) => (parts[1] = new Map([[4, utf8('other')]])))
    expect(verifySign1(other, verifier).unprotected.get(4)).toEqual(utf8('other'))
  })

  const hostile: [string, () => Uint8Array, string][] = [
    ['not CBOR', () => fromHex('ff'), 'cose/malformed'],
    ['nothing', () => new Uint8Array(0), 'cose/malformed'],
    ['a map', () => encode(new Map()), 'cose/malformed'],
    ['three parts', () => altered((parts) => parts.pop()), 'cose/malformed'],
    ['five parts', () => altered((parts) => parts.push(0)), 'cose/malformed'],
    ['a protected map not in bytes', () => altered((p) => (p[0] = new Map())), 'cose/malformed'],
    ['an encoded empty map', () => altered((p) => (p[0] = fromHex('a0'))), 'cose/malformed'],
    ['loose CBOR inside', () => signedWith(fromHex('a1013807')), 'cose/malformed'],
    ['unprotected list', () => altered((parts) => (parts[1] = [])), 'cose/malformed'],
    ['payload as text', () => altered((parts) => (parts[2] = 'text')), 'cose/malformed'],
    ['no signature', () => altered((parts) => (parts[3] = null)), 'cose/malformed'],
    ['short signature', () => altered((p) => (p[3] = new Uint8Array(63))), 'cose/bad-signature'],
    ['no algorithm', () => signedWith(new Uint8Array(0)), 'cose/unsupported'],
    ['another algorithm', () => signedWith(fromHex('a10126')), 'cose/unsupported'],
    [
      'the algorithm unprotected',
      () => signedWith(new Uint8Array(0), new Map([[1, -8]])),
      'cose/unsupported',
    ],
    [
      'the algorithm in both places',
      () => signedWith(fromHex('a10127'), new Map([[1, -8]])),
      'cose/malformed',
    ],
    ['a critical header', () => signedWith(fromHex('a201270281186f')), 'cose/unsupported'],
  ]
  test.each(hostile)('refuses %s', (_name, make, code) => {
    expect(codeThrown(() => verifySign1(make(), verifier))).toBe(code)
  })
})

describe('COSE_Encrypt0', () => {
  const nonce = fromHex('5c3a9950bd2852f66e6c8d4f')
  const secret = fromHex('0f1e2d3c4b5a69788796a5b4c3d2e1f01f2e3d4c5b6a798897a6b5c4d3e2f100')

  test('example ChaCha-Poly1305 enc-01 of the COSE working group, without its tag', () => {
    const published = fromHex(
      '8344a1011818a1054c5c3a9950bd2852f66e6c8d4f5824ca119c45926da993d29b5d0cac9a84228c7668d492a1b9' +
        'd7e32020ef21372e74def431b9',
    )
    for (const crypto of [nobleCrypto, nodeCrypto]) {
      const aead = crypto.aead(secret)
      expect(decryptEncrypt0(published, aead).payload).toEqual(payload)
      expect(toHex(encryptEncrypt0({ key: aead, nonce, payload }))).toBe(toHex(published))
    }
    expect(toHex(encStructure(fromHex('a1011818'), new Uint8Array(0)))).toBe(
      '8368456e63727970743044a101181840',
    )
  })

  test('with external data, against node:crypto and bytes written out', () => {
    const aad = concat(
      fromHex('83'),
      fromHex('68'),
      utf8('Encrypt0'),
      fromHex('44a1011818'),
      fromHex('4d'),
      purpose,
    )
    const options = { authTagLength: 16 }
    const cipher = createCipheriv('chacha20-poly1305', secret, nonce, options)
    cipher.setAAD(aad, { plaintextLength: payload.length })
    const sealed = concat(cipher.update(payload), cipher.final(), cipher.getAuthTag())
    const message = encryptEncrypt0({
      key: nobleCrypto.aead(secret),
      nonce,
      payload,
      externalAad: purpose,
    })
    const [, , ciphertext] = decode(message) as CborValue[]
    expect(ciphertext).toEqual(sealed)
  })

  const aead = nodeCrypto.aead(secret)
  const read = (message: Uint8Array) => decryptEncrypt0(message, aead)
  const sealed = (change: (parts: CborValue[]) => void) => {
    const parts = decode(encryptEncrypt0({ key: aead, nonce, payload })) as CborValue[]
    change(parts)
    return encode(parts)
  }
  const hostile: [string, () => Uint8Array, string][] = [
    ['not CBOR', () => fromHex('1c'), 'cose/malformed'],
    ['two parts', () => sealed((parts) => parts.pop()), 'cose/malformed'],
    ['ciphertext as text', () => sealed((parts) => (parts[2] = '')), 'cose/malformed'],
    ['no nonce', () => sealed((parts) => (parts[1] = new Map())), 'cose/malformed'],
    [
      'a short nonce',
      () => sealed((parts) => (parts[1] = new Map([[5, new Uint8Array(11)]]))),
      'cose/malformed',
    ],
    [
      'another nonce',
      () => sealed((parts) => (parts[1] = new Map([[5, new Uint8Array(12)]]))),
      'cose/not-authentic',
    ],
    ['another algorithm', () => sealed((p) => (p[0] = fromHex('a10101'))), 'cose/unsupported'],
    ['a tag alone', () => sealed((p) => (p[2] = new Uint8Array(16))), 'cose/not-authentic'],
    ['less than a tag', () => sealed((p) => (p[2] = new Uint8Array(3))), 'cose/not-authentic'],
    [
      'other external data',
      () => encryptEncrypt0({ key: aead, nonce, payload, externalAad: purpose }),
      'cose/not-authentic',
    ],
  ]
  test.each(hostile)('refuses %s', (_name, make, code) => {
    expect(codeThrown(() => read(make()))).toBe(code)
  })

  test('random bytes end in one of our codes', () => {
    fc.assert(
      fc.property(bytes, (input) => {
        expect(codeThrown(() => read(input))).toMatch(/^cose\//)
        expect(codeThrown(() => verifySign1(input, verifier))).toMatch(/^cose\//)
      }),
      { numRuns: 500 },
    )
  })

  describe('with algorithm and IV implied', () => {
    const context = { iv: nonce }
    const partialIv = fromHex('0102')
    const made = (changes: object = {}) =>
      encryptEncrypt0({ key: aead, partialIv, context, payload, ...changes })
    const parted = (change: (parts: CborValue[]) => void) => {
      const parts = decode(made()) as CborValue[]
      change(parts)
      return encode(parts)
    }
    const readImplied = (message: Uint8Array) => decryptEncrypt0(message, aead, { context })

    test('the nonce is the padded Partial IV xor the context IV (RFC 9052 §3.1)', () => {
      const message = made()
      expect(readImplied(message).payload).toEqual(payload)
      const [protectedBytes, unprotected, ciphertext] = decode(message) as CborValue[]
      expect(protectedBytes).toEqual(new Uint8Array())
      expect(unprotected).toEqual(new Map([[6, partialIv]]))
      const aad = encStructure(new Uint8Array(), new Uint8Array())
      const whole = fromHex('5c3a9950bd2852f66e6c8c4d')
      expect(aead.open(whole, aad, ciphertext as Uint8Array)).toEqual(payload)
    })

    const refused: [string, () => Uint8Array, string][] = [
      ['the complete form', () => sealed(() => undefined), 'cose/unsupported'],
      [
        'a nonce of its own',
        () => parted((p) => (p[1] = new Map([[5, nonce]]))),
        'cose/unsupported',
      ],
      [
        'an algorithm without protection',
        () =>
          parted(
            (p) =>
              (p[1] = new Map<number, CborValue>([
                [1, 24],
                [6, partialIv],
              ])),
          ),
        'cose/unsupported',
      ],
      ['no Partial IV', () => parted((p) => (p[1] = new Map())), 'cose/malformed'],
      [
        'a longer Partial IV of the same number',
        () => parted((p) => (p[1] = new Map([[6, fromHex('000102')]]))),
        'cose/malformed',
      ],
      [
        'another Partial IV',
        () => parted((p) => (p[1] = new Map([[6, fromHex('0103')]]))),
        'cose/not-authentic',
      ],
    ]
    test.each(refused)('refuses %s', (_name, make, code) => {
      expect(codeThrown(() => readImplied(make()))).toBe(code)
    })

    test('and is refused where it is not expected', () => {
      expect(codeThrown(() => read(made()))).toBe('cose/unsupported')
    })

    test.each(['', '00'.repeat(2), '01'.repeat(13)])('refuses to make Partial IV "%s"', (hex) => {
      expect(codeThrown(() => made({ partialIv: fromHex(hex) }))).toBe('cose/malformed')
    })
  })
})
