/**
 * Published vectors for every primitive, through both implementations. wycheproof.test.ts and
 * cctv.test.ts go further.
 */
import { describe, expect, test } from 'vitest'
import { fromHex, toHex, utf8 } from '#bytes'
import { nobleCrypto } from '#crypto'
import { nativeCrypto } from '#crypto-native'
import { nodeCrypto } from '#crypto-node'
import { smallCrypto } from '#crypto-small'

const h = (text: string) => fromHex(text.replaceAll(/\s/g, ''))
const repeat = (byte: number, length: number) => new Uint8Array(length).fill(byte)
const range = (from: number, to: number) =>
  Uint8Array.from({ length: to - from }, (_, index) => from + index)

/** RFC 8032 §7.1: name, secret, public key, message, signature. */
const ed25519 = [
  [
    'TEST 1',
    '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
    'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    '',
    `e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155
     5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b`,
  ],
  [
    'TEST 2',
    '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
    '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
    '72',
    `92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da
     085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00`,
  ],
  [
    'TEST 3',
    'c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7',
    'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025',
    'af82',
    `6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac
     18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a`,
  ],
] as const

/** RFC 7748: name, scalar, u coordinate, result. */
const ALICE = '77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a'
const ALICE_PUBLIC = '8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a'
const BOB = '5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb'
const BOB_PUBLIC = 'de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f'
const SHARED = '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742'
const x25519 = [
  [
    '§5.2, first',
    'a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4',
    'e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c',
    'c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552',
  ],
  [
    '§5.2, second: top bit of u ignored',
    '4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d',
    'e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493',
    '95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957',
  ],
  ['§6.1, Alice', ALICE, BOB_PUBLIC, SHARED],
  ['§6.1, Bob', BOB, ALICE_PUBLIC, SHARED],
] as const

/** RFC 5869 appendix A: name, ikm, salt, info, prk, okm. */
const hkdf = [
  [
    'A.1',
    repeat(0x0b, 22),
    range(0, 13),
    range(0xf0, 0xfa),
    '077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5',
    '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865',
  ],
  [
    'A.2',
    range(0, 0x50),
    range(0x60, 0xb0),
    range(0xb0, 0x100),
    '06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244',
    `b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c
     59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71
     cc30c58179ec3e87c14c01d5c1f3434f1d87`,
  ],
  [
    'A.3, no salt, no info',
    repeat(0x0b, 22),
    repeat(0, 0),
    repeat(0, 0),
    '19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04',
    '8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8',
  ],
] as const

/** RFC 8439 §2.8.2. */
const aead = {
  key: range(0x80, 0xa0),
  nonce: h('070000004041424344454647'),
  aad: h('50515253c0c1c2c3c4c5c6c7'),
  plaintext: utf8(
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, " +
      'sunscreen would be it.',
  ),
  sealed: h(
    `d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6
     3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36
     92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc
     3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691`,
  ),
}
describe.each([
  ['noble', nobleCrypto],
  ['node', nodeCrypto],
  ['native', nativeCrypto],
  ['small', smallCrypto],
])('published vectors, %s', (_name, crypto) => {
  test.each(ed25519)('RFC 8032 §7.1 %s', (_test, secret, publicKey, message, signature) => {
    const key = crypto.signingKey(h(secret))
    expect(toHex(key.publicKey)).toBe(publicKey)
    expect(key.sign(h(message))).toEqual(h(signature))
    const verifier = crypto.verifyKey(h(publicKey))
    expect(verifier.verify(h(message), h(signature))).toBe(true)
    expect(verifier.verify(utf8('another message'), h(signature))).toBe(false)
  })

  test.each(x25519)('RFC 7748 %s', (_test, scalar, coordinate, result) => {
    expect(toHex(crypto.x25519(h(scalar)).shared(h(coordinate)))).toBe(result)
  })

  test('RFC 7748 §5.2, a thousand times', () => {
    let [k, u] = [`09${'00'.repeat(31)}`, `09${'00'.repeat(31)}`]
    for (let i = 0; i < 1_000; i++) [k, u] = [toHex(crypto.x25519(h(k)).shared(h(u))), k]
    expect(k).toBe('684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51')
  })

  test('RFC 7748 §6.1, public keys', () => {
    expect(toHex(crypto.x25519(h(ALICE)).publicKey)).toBe(ALICE_PUBLIC)
    expect(toHex(crypto.x25519(h(BOB)).publicKey)).toBe(BOB_PUBLIC)
  })

  test.each(hkdf)('RFC 5869 %s', (_test, ikm, salt, info, prk, okm) => {
    expect(toHex(crypto.hkdfExtract(salt, ikm))).toBe(prk)
    expect(crypto.hkdfExpand(h(prk), info, h(okm).length)).toEqual(h(okm))
  })

  test('RFC 8439 §2.8.2', () => {
    const key = crypto.aead(aead.key)
    expect(key.seal(aead.nonce, aead.aad, aead.plaintext)).toEqual(aead.sealed)
    expect(key.open(aead.nonce, aead.aad, aead.sealed)).toEqual(aead.plaintext)
  })

  test('FIPS 180-4 "abc" and RFC 4231 case 2', () => {
    expect(toHex(crypto.sha256(utf8('abc')))).toBe(
      'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    )
    expect(toHex(crypto.hmacSha256(utf8('Jefe'), utf8('what do ya want for nothing?')))).toBe(
      '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
    )
  })
})
