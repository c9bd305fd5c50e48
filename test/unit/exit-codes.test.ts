import { expect, test } from 'vitest'
import { CodedError, exitCodeOf } from '#errors'

test.each([
  ['config/invalid', 2],
  ['query/bad-time', 2],
  ['query/bad-period', 2],
  ['cli/usage', 2],
  ['cli/bad-token', 2],
  ['identity/bad-name', 2],
  ['pi/bad-wifi', 2],
  ['enrolment/bad-code', 2],
  ['http/token-missing', 2],
  ['config/unreadable', 3],
  ['cli/no-store', 3],
  ['identity/missing', 3],
  ['identity/not-enrolled', 3],
  ['household/no-file', 3],
  ['cloud/no-password', 3],
  ['http/token-unreadable', 3],
  ['identity/untrusted', 4],
  ['identity/mismatch', 4],
  ['identity/bad-credential', 4],
  ['credential/malformed', 4],
  ['credential/expired', 4],
  ['meter/wrong-role', 4],
  ['fog/store-damaged', 4],
  ['sqlite/corrupt', 4],
  ['identity/damaged-record', 4],
  ['messages/malformed', 1],
  ['identity/permissions', 1],
  ['sqlite/full', 1],
  ['cli/unreachable', 1],
])('%s ends a program with %i', (code, exitCode) => {
  expect(exitCodeOf(new CodedError(code, ''))).toBe(exitCode)
})

test('a surprise is a failure', () => {
  expect(exitCodeOf(new TypeError('x'))).toBe(1)
})
