/**
 * npm run repository -- FOLDER [DEB…] --sign-key KEY [--valid-days N]
 *
 * Makes FOLDER a repository for apt, or adds packages to it, and signs its list anew with a secret key of
 * gpg's. Without packages it is signed for another N days, 30 if not given. Needs dpkg-deb and gpg.
 */
import { parseArgs } from 'node:util'
import { CodedError, wordsOf } from '#errors'
import { makeRepository } from './repository.ts'

const USAGE_ERROR = 2
const usage = 'usage: npm run repository -- FOLDER [DEB…] --sign-key KEY [--valid-days N]'

function read(): Parameters<typeof makeRepository>[0] {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { 'sign-key': { type: 'string' }, 'valid-days': { type: 'string', default: '30' } },
  })
  const [folder, ...debs] = positionals
  const { 'sign-key': signKey, 'valid-days': days } = values
  if (folder === undefined || signKey === undefined || !/^[1-9]\d{0,3}$/.test(days))
    throw new TypeError('something is missing or wrong')
  const given = process.env['SOURCE_DATE_EPOCH']
  const epochS = given === undefined ? Math.floor(Date.now() / 1_000) : Number(given)
  return { folder, debs, signKey, validDays: Number(days), epochS }
}

try {
  const options = read()
  for (const name of makeRepository(options)) process.stdout.write(`${name}\n`)
  process.stderr.write(`signed for ${options.validDays} days; sign it again before they are over\n`)
} catch (error) {
  process.stderr.write(`${error instanceof CodedError ? wordsOf(error) : usage}\n`)
  process.exitCode = error instanceof CodedError ? 1 : USAGE_ERROR
}
