import { pbkdf2Sync } from 'node:crypto'
import { CodedError } from '#errors'

/**
 * The pre-shared key of a network, 64 hexadecimal digits (IEEE 802.11 J.4.1): what a card carries
 * instead of a passphrase that may be in use elsewhere. It still opens this one network.
 * @throws pi/bad-wifi; the message does not quote the passphrase
 */
export function pskOf(ssid: string, passphrase: string): string {
  if (Buffer.byteLength(ssid) > 32)
    throw new CodedError('pi/bad-wifi', 'the name of a Wi-Fi network has at most 32 bytes')
  if (/^[0-9a-fA-F]{64}$/.test(passphrase)) return passphrase.toLowerCase()
  if (!/^[\x20-\x7e]{8,63}$/.test(passphrase))
    throw new CodedError('pi/bad-wifi', 'a Wi-Fi passphrase has 8 to 63 printable ASCII characters')
  return pbkdf2Sync(passphrase, ssid, 4_096, 32, 'sha1').toString('hex')
}
