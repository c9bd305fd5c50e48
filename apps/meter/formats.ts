import { createDecipheriv } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { concat, fromHex } from '#bytes'
import type { PortSource } from '#config'
import { CodedError } from '#errors'
import {
  additionalData,
  createP1Framer,
  parseEncrypted,
  parseP1,
  publicAuthenticationKey,
} from '#p1'
import { createSmlFramer, parseSml } from '#sml'
import type { Frame, Telegram } from '#telegram'

/** One way of writing telegrams. */
export interface Format {
  framer(): { push(bytes: Uint8Array): Frame[]; end(): Frame[] }
  /** Null when there is nothing about a meter in it. Throws coded errors. */
  parse(bytes: Uint8Array): Telegram | null
}

/** Throws `port/no-key` or `port/bad-key` when the key of an encrypted port cannot be had. */
export function formatOf(source: PortSource): Format {
  if (source.kind === 'sml') return { framer: createSmlFramer, parse: parseSml }
  const { utcOffsetMinutes: winterMinutes, keyFile } = source
  const decrypt = keyFile === undefined ? undefined : decryption(keyFile)
  return {
    framer: () => createP1Framer(decrypt),
    parse: (bytes) => parseP1(bytes, { winterMinutes }),
  }
}

/** The file has the key and, where the grid operator gives one, the authentication key below it. */
function decryption(path: string): (frame: Uint8Array) => Uint8Array {
  const [key, authenticationKey = publicAuthenticationKey] = keysFrom(path)
  if (key === undefined) throw badKey(path)
  const additional = additionalData(authenticationKey)
  return (frame) => {
    const { nonce, ciphertext, tag } = parseEncrypted(frame)
    const cipher = createDecipheriv('aes-128-gcm', key, nonce, { authTagLength: tag.length })
    cipher.setAAD(additional)
    cipher.setAuthTag(tag)
    const text = cipher.update(ciphertext)
    try {
      return concat(text, cipher.final())
    } catch (cause) {
      const message = `the key in ${path} does not open this meter's telegrams`
      throw new CodedError('p1/wrong-key', message, { cause })
    }
  }
}

function keysFrom(path: string): Uint8Array[] {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    const message = `${path} (source.key_file) cannot be read: put the meter's key into it, mode 0600`
    throw new CodedError('port/no-key', message, { cause })
  }
  const words = text.split(/\s+/).filter((word) => word !== '')
  if (words.length > 2 || !words.every((word) => /^[0-9A-Fa-f]{32}$/.test(word))) throw badKey(path)
  return words.map(fromHex)
}

function badKey(path: string): CodedError {
  const message =
    `${path} must hold the key as 32 hexadecimal digits, and below it the authentication key ` +
    'if the grid operator gave one'
  return new CodedError('port/bad-key', message)
}
