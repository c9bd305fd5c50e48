import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { issueRevocations } from '#credential'
import { nodeCrypto } from '#crypto-node'
import { createAuthority, enrol, loadIdentity } from '#identity'
import { createLogger } from '#service'
import { followRevocations } from '../../apps/agent/revocations.ts'
import { readKeyFile } from '../../libs/identity/keys.ts'

const folder = mkdtempSync(join(tmpdir(), 'fogmeter-revocations-'))
afterAll(() => rmSync(folder, { recursive: true }))

test('a list from the cloud outlives a restart, and an older one does not come back', () => {
  const paths = createAuthority(join(folder, 'authority'))
  const files = enrol(join(folder, 'authority'), 'fog', 'fog-1')
  const identity = loadIdentity({ ...files, key: files.key ?? '' })
  const secret = nodeCrypto.signingKey(readKeyFile(paths.key, 'make it first'))
  const list = (number: number) =>
    issueRevocations({ authority: secret, number, issuedS: 1, ids: [new Uint8Array(8)] })
  const heard: number[] = []
  const start = (memoryPath = join(folder, 'fog.db.revoked')) =>
    followRevocations({
      path: undefined,
      memoryPath,
      identity,
      log: createLogger({ name: 'test', level: 'error' }),
      onChange: ({ number }) => heard.push(number),
    })

  start().offer(list(7))
  const restarted = start()
  expect(restarted.current()?.number).toBe(7)
  restarted.offer(list(6))
  expect(restarted.current()?.number).toBe(7)
  expect(heard).toEqual([7])
  // Without the memory the older list would be taken: this is what it is there for.
  const forgetful = start(join(folder, 'elsewhere'))
  forgetful.offer(list(6))
  expect(forgetful.current()?.number).toBe(6)
})
