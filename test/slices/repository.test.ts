/** The repository that nodes update from, as it is made. What nodes make of it: update.test.ts. */
import { execFileSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs'
import { appendFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeRepository } from '../../deploy/package/repository.ts'
import { codeThrown } from '../support/coded.ts'
import {
  canUpdate,
  openKeys,
  openUpdateLab,
  ownKey,
  type UpdateLab,
} from '../support/update-lab.ts'

describe.skipIf(!canUpdate)('a repository (skipped without apt, gpg or flock)', () => {
  let lab: UpdateLab
  const scratch = mkdtempSync(join(tmpdir(), 'fogmeter-repository-'))
  beforeAll(async () => void (lab = await openUpdateLab()))
  afterAll(async () => {
    await lab.close()
    rmSync(scratch, { recursive: true, force: true })
  })

  const epochS = 1_795_000_000
  const make = (name: string, debs: string[], signKey = ownKey) =>
    makeRepository({ folder: join(scratch, name), debs, signKey, validDays: 30, epochS })
  const read = (name: string, file: string) => readFileSync(join(scratch, name, file), 'utf8')
  /** What is signed, without the signature, which is another one each time. */
  const signed = (name: string) =>
    execFileSync('gpg', ['--batch', '--quiet', '--decrypt'], {
      input: read(name, 'InRelease'),
      encoding: 'utf8',
      stdio: ['pipe', 'pipe', 'ignore'],
    })

  test('the same each time, whatever the order, but for the signature', () => {
    const debs = ['1.1', '1.2'].map((version) => lab.deb(version))
    expect(make('one', debs)).toEqual(make('two', debs.toReversed()))
    for (const file of ['Packages', 'Packages.gz'])
      expect(read('one', file)).toBe(read('two', file))
    expect(signed('one')).toBe(signed('two'))
    expect(signed('one')).toContain('\nDate: Wed, 18 Nov 2026 11:06:40 UTC\n')
    expect(signed('one')).toContain('\nValid-Until: Fri, 18 Dec 2026 11:06:40 UTC\n')
  })

  test('grows, and is signed again without a package', () => {
    const [first, second] = ['1.1', '1.2'].map((version) => lab.deb(version))
    make('grows', [String(first)])
    const names = make('grows', [String(second)])
    expect(names).toEqual([basename(String(first)), basename(String(second))])
    expect(make('grows', [])).toEqual(names)
    expect(read('grows', 'Packages').match(/^Version: .*$/gm)).toEqual([
      'Version: 1.1',
      'Version: 1.2',
    ])
  })

  test.each<[string, string, () => void]>([
    ['a file that is no package', 'repository/not-ours', () => make('bad', [notDeb()])],
    ['a package by another name', 'repository/not-ours', () => make('bad', [renamed()])],
    ['a version with another content', 'repository/changed', () => make('bad', [changed()])],
    ['a key that is not there', 'repository/not-signed', () => make('bad', [], 'Nobody At All')],
  ])('%s: refused, and nothing changes', (_, code, attempt) => {
    rmSync(join(scratch, 'bad'), { recursive: true, force: true })
    make('bad', [lab.deb('1.1')])
    const before = [readdirSync(join(scratch, 'bad/pool')), read('bad', 'InRelease')]
    expect(codeThrown(attempt)).toBe(code)
    expect([readdirSync(join(scratch, 'bad/pool')), read('bad', 'InRelease')]).toEqual(before)
  })

  test.each<[string, () => void]>([
    ['a newer package that somebody put there', () => place('1.9')],
    ['another content for one that was signed', () => appendFileSync(inPool('1.1'), 'x')],
    ['and a list with it, by a key of his own', () => signAgain()],
    ['no signature any more', () => rmSync(join(scratch, 'open/InRelease'))],
  ])('%s is not signed', (_, attack) => {
    rmSync(join(scratch, 'open'), { recursive: true, force: true })
    make('open', [lab.deb('1.1')])
    attack()
    expect(codeThrown(() => make('open', []))).toBe('repository/strange')
    expect(codeThrown(() => make('open', [lab.deb('1.2')]))).toBe('repository/strange')
    expect(existsSync(inPool('1.2'))).toBe(false)
  })
  const inPool = (version: string) => join(scratch, 'open/pool', basename(lab.deb(version)))
  const place = (version: string) => cpSync(lab.deb(version), inPool(version))
  /** By a key that calls itself the same, and that gpg here has heard of. */
  function signAgain(): void {
    const own = process.env['GNUPGHOME']
    const theirs = openKeys(join(scratch, 'theirs-gnupg'))
    try {
      make('theirs', [lab.deb('1.1'), lab.deb('1.9')])
    } finally {
      theirs.close()
      process.env['GNUPGHOME'] = own
    }
    execFileSync('gpg', ['--batch', '--quiet', '--import'], { input: theirs.publicKey })
    cpSync(join(scratch, 'theirs'), join(scratch, 'open'), { recursive: true })
  }

  test('cut off while it was written, the same command ends it', () => {
    make('cut', [lab.deb('1.1')])
    const before = read('cut', 'InRelease')
    make('cut', [lab.deb('1.2')])
    writeFileSync(join(scratch, 'cut/InRelease'), before)
    expect(make('cut', [lab.deb('1.2')])).toHaveLength(2)
  })

  test('a key that is not there leaves not even a folder', () => {
    expect(codeThrown(() => make('none', [lab.deb('1.1')], 'Nobody At All'))).toBe(
      'repository/not-signed',
    )
    expect(existsSync(join(scratch, 'none'))).toBe(false)
  })

  function copyOf(deb: string, name: string): string {
    mkdirSync(join(scratch, 'given'), { recursive: true })
    const path = join(scratch, 'given', name)
    cpSync(deb, path)
    return path
  }
  function notDeb(): string {
    const path = copyOf(lab.deb('1.2'), basename(lab.deb('1.2')))
    writeFileSync(path, 'nothing')
    return path
  }
  const renamed = () => copyOf(lab.deb('1.2'), basename(lab.deb('1.2')).replace('1.2', '1.3'))
  function changed(): string {
    const path = copyOf(lab.deb('1.1'), basename(lab.deb('1.1')))
    appendFileSync(path, '\n')
    return path
  }
})
