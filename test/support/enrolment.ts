import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openCloudStore } from '#cloud-store'
import { nodeCrypto } from '#crypto-node'
import type { SigningKey } from '#crypto'
import { createEnrolmentDesk, type DeskOptions, type Refusal } from '#enrolment'
import { createAuthority, enrolKey, readPublicKeyFile, requireFree } from '#identity'

export const NOW_S = 1_790_000_000

/** A different key for each number. */
export function keyOf(number: number): SigningKey {
  const seed = new Uint8Array(32)
  new DataView(seed.buffer).setUint32(0, number)
  return nodeCrypto.signingKey(seed)
}

/** A desk over a real store and a real authority, with a clock a test can turn. */
export function testDesk(options: { authority: boolean } = { authority: true }) {
  const folder = mkdtempSync(join(tmpdir(), 'fogmeter-desk-'))
  const authority = join(folder, 'authority')
  createAuthority(authority, { nowS: NOW_S })
  const clock = { s: NOW_S, now: () => clock.s * 1_000 }
  const refused: Refusal[] = []
  const faults = { issue: null as Error | null }
  let file = openCloudStore(join(folder, 'cloud.db'))
  const issue: DeskOptions['issue'] = ({ name, publicKey, replace }) => {
    if (faults.issue !== null) throw faults.issue
    const { authority: present } = options
    return present ? enrolKey(authority, 'fog', name, { publicKey, replace, nowS: clock.s }) : null
  }
  const open = () =>
    createEnrolmentDesk({
      crypto: nodeCrypto,
      clock,
      store: file.enrolments,
      issue,
      checkName(name, replace) {
        requireFree(authority, 'fog', name, { replace, nowS: clock.s })
      },
      onRefused: (refusal) => refused.push(refusal),
    })
  const bench = {
    folder,
    authority,
    authorityKey: readPublicKeyFile(join(authority, 'authority.pub'), ''),
    clock,
    refused,
    faults,
    desk: open(),
    store: () => file.enrolments,
    /** The cloud restarts. */
    restart() {
      file.database.close()
      file = openCloudStore(join(folder, 'cloud.db'))
      bench.desk = open()
    },
    close() {
      file.database.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
  return bench
}
