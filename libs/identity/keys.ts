/** Ed25519 keys in the formats every other tool reads: PKCS#8 and SPKI PEM (RFC 8410). */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { existsSync } from 'node:fs'
import { fromBase64Url, fromUtf8 } from '#bytes'
import { assertLength } from '#crypto'
import { privateKeyObject, publicKeyObject, rawPublic } from '#crypto-node'
import { CodedError } from '#errors'
import type { Random } from '#ports'
import { createFile, readFile, readSecretFile, replaceFile } from './files.ts'

/** A fresh key in a new file only its owner can read. Returns the public key. */
export function createKeyFile(path: string, random: Random): Uint8Array {
  const key = freshKey(random)
  createFile(path, key.export({ type: 'pkcs8', format: 'pem' }), true)
  return rawPublic(key)
}

/**
 * The 32-byte seed of this machine's key, made the first time. Whole or absent after a power cut, so
 * that a machine which was unplugged while it made its key starts afresh.
 * @throws identity/bad-key, identity/permissions, identity/unwritable
 */
export function ensureKeyFile(path: string, random: Random): Uint8Array {
  if (!existsSync(path))
    replaceFile(path, freshKey(random).export({ type: 'pkcs8', format: 'pem' }), true)
  return readKeyFile(path, 'delete it, and a new key is made')
}

function freshKey(random: Random): KeyObject {
  const secret = random(32)
  assertLength('key seed', secret, 32)
  const key = privateKeyObject('ed25519', secret)
  secret.fill(0)
  return key
}

/** The 32-byte seed in a key file. @throws identity/bad-key, identity/permissions, … */
export function readKeyFile(path: string, fix: string, guardedFolder?: string): Uint8Array {
  const key = parse(path, readSecretFile(path, fix, guardedFolder), createPrivateKey)
  return fromBase64Url(key.export({ format: 'jwk' }).d ?? '')
}

export function createPublicKeyFile(path: string, publicKey: Uint8Array): void {
  const pem = publicKeyObject('ed25519', publicKey).export({ type: 'spki', format: 'pem' })
  createFile(path, pem, false)
}

/** The 32-byte public key in a PEM file. @throws identity/bad-key, identity/missing, … */
export function readPublicKeyFile(path: string, fix: string): Uint8Array {
  const content = readFile(path, fix)
  // createPublicKey would quietly derive the public half of a private key put here by mistake
  if (Buffer.from(content).includes('PRIVATE KEY'))
    throw new CodedError(
      'identity/bad-key',
      `${path} holds a private key where a public one belongs; copy authority.pub there`,
    )
  return rawPublic(parse(path, content, createPublicKey))
}

/** The parser's own error stays out of ours: it might quote what it read. */
function parse(path: string, content: Uint8Array, read: (pem: string) => KeyObject): KeyObject {
  let key: KeyObject | null = null
  try {
    key = read(fromUtf8(content))
  } catch {
    key = null
  }
  if (key?.asymmetricKeyType === 'ed25519') return key
  throw new CodedError(
    'identity/bad-key',
    `${path} is damaged or no Ed25519 key in PEM form; copy it again from where the device was enrolled`,
  )
}
