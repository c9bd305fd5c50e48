import { execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { decodeCredential } from '#credential'
import { nodeFlags } from '#service'
import { printableLines } from '../../apps/cli/printable.ts'
import packageFile from '../../package.json' with { type: 'json' }

const cli = join(import.meta.dirname, '../../apps/cli/main.ts')
const shim = join(import.meta.dirname, '../../apps/cli/fogmeter.mjs')

let folder: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fogmeter-cli-'))
  await fogmeter('authority', 'init')
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Outcome {
  code: number
  stdout: string
  stderr: string
}

function started(command: string, args: readonly string[], env = {}): Promise<Outcome> {
  return new Promise((resolve) => {
    const { FORCE_COLOR: _, ...inherited } = process.env
    const options = { cwd: folder, env: { ...inherited, ...env } }
    execFile(command, args, options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
    })
  })
}

/** One run of the command line as a process of its own. */
function fogmeter(...args: string[]): Promise<Outcome> {
  return started(process.execPath, [cli, ...args])
}

describe('help and usage', () => {
  test('--version and --help go to stdout with 0', async () => {
    expect(await fogmeter('--version')).toEqual({
      code: 0,
      stdout: `${packageFile.version}\n`,
      stderr: '',
    })
    const help = await fogmeter('--help')
    expect(help).toMatchObject({ code: 0, stderr: '' })
    for (const word of [
      'authority',
      'enrol',
      'revoke',
      'broker',
      'agent',
      'cloud',
      'meter',
      'summary',
      'status',
      'completion',
      'Exit codes',
    ]) {
      expect(help.stdout).toContain(word)
    }
  })

  test.each([
    ['nothing at all', [], 'Usage: fogmeter'],
    ['a misspelt command', ['enrl'], '(Did you mean enrol?)'],
    ['an option that is none', ['status', '--bogus'], '(add --help'],
    ['a role that is none', ['enrol', 'toaster', 'x'], 'Allowed choices are meter, fog, cloud'],
    ['a missing option', ['meter', 'run'], "required option '--config <file>'"],
    ['a number that is none', ['enrol', 'meter', 'x', '--days', '0'], 'whole number above 0'],
    ['a name that is none', ['enrol', 'meter', '../x'], '(identity/bad-name)'],
    [
      'a country without Wi-Fi',
      ['pi', 'prepare', '--image', 'x', '--cloud', 'mqtt://a', '--country', 'DE'],
      'belong to --wifi',
    ],
    ['a password in a URL', ['status', '--url', 'http://u:hunter2@127.0.0.1:9'], '--token-file'],
    [
      'and in that of a repository',
      ['pi', 'repository', 'https://u:hunter2@updates.example', '--key', 'x'],
      'auth.conf.d',
    ],
  ])('%s: exit code 2, on stderr only', async (_, args, words) => {
    const outcome = await fogmeter(...args)
    expect(outcome).toMatchObject({ code: 2, stdout: '' })
    expect(outcome.stderr).toContain(words)
    expect(outcome.stderr).not.toContain('hunter2')
  })

  test('help needs no program: neither the logger nor SQLite nor the crypto is loaded', async () => {
    const trace = await started(process.execPath, [cli, 'enrol', '--help'], { NODE_DEBUG: 'esm' })
    expect(trace.stdout).toContain('Usage: fogmeter enrol')
    expect(trace.stderr).toContain('/node_modules/commander/') // so the trace does show modules
    for (const heavy of ['better_sqlite3', 'better-sqlite3', 'pino', '@noble']) {
      expect(trace.stderr.includes(`/node_modules/${heavy}/`)).toBe(false)
    }
  })

  test('colour only on a terminal, and never with NO_COLOR', async () => {
    const plain = await fogmeter('revoke', 'nobody')
    const forced = await started(process.execPath, [cli, 'revoke', 'nobody'], {
      NO_COLOR: '1',
      FORCE_COLOR: '1',
    })
    expect(plain.stderr + forced.stderr).not.toContain('\u001b')
  })
})

describe('authority, enrol, revoke', () => {
  test('a device gets a key only its owner can read, and a credential for its role and group', async () => {
    const { code, stdout } = await fogmeter(
      'enrol',
      'meter',
      'kitchen',
      '--group',
      'house-7',
      '--days',
      '30',
      '--json',
    )
    expect(code).toBe(0)
    const paths = JSON.parse(stdout) as { key: string; credential: string; authority: string }
    expect(statSync(join(folder, paths.key)).mode & 0o777).toBe(0o600)
    const credential = decodeCredential(
      new Uint8Array(readFileSync(join(folder, paths.credential))),
    )
    expect(credential).toMatchObject({ deviceId: 'kitchen', role: 'meter', group: 'house-7' })
    expect(credential.notAfterS - credential.notBeforeS).toBeLessThan(31 * 86_400)
  })

  test('a second credential for a name needs --replace or another name', async () => {
    await fogmeter('enrol', 'fog', 'roof')
    const again = await fogmeter('enrol', 'fog', 'roof', '--out', 'elsewhere')
    expect(again).toMatchObject({ code: 1, stdout: '' })
    expect(again.stderr).toContain('(identity/already-enrolled)')
    expect(existsSync(join(folder, 'elsewhere/roof.cwt'))).toBe(false)
    const replaced = await fogmeter('enrol', 'fog', 'roof', '--out', 'elsewhere', '--replace')
    expect(replaced.code).toBe(0)
    expect(replaced.stderr).toMatch(/let the old fog node drain first/)
  })

  test('--replace says to let the old one drain first, where there is an old one', async () => {
    const enrol = ['enrol', 'meter', 'shed', '--replace']
    expect(await fogmeter(...enrol, '--out', 'shed-1')).toMatchObject({ code: 0, stderr: '' })
    const again = await fogmeter(...enrol, '--out', 'shed-2', '--json')
    expect(again.stderr).toMatch(/^Let the old meter drain first/)
    expect(Object.keys(JSON.parse(again.stdout) as object)).toHaveLength(4)
  })

  test('revoke says what to copy where; a name nobody enrolled is exit code 3', async () => {
    await fogmeter('enrol', 'meter', 'lost')
    const revoked = await fogmeter('revoke', 'lost')
    expect(revoked).toMatchObject({ code: 0, stderr: '' })
    expect(revoked.stdout).toContain('revoked.cose')
    expect(await fogmeter('revoke', 'never-was')).toMatchObject({ code: 3, stdout: '' })
  })

  test('an authority is never overwritten, and a missing one is said to be missing', async () => {
    expect(await fogmeter('authority', 'init')).toMatchObject({ code: 1 })
    const missing = await fogmeter('enrol', 'meter', 'x', '--authority', 'nowhere')
    expect(missing.code).toBe(3)
    expect(missing.stderr).toContain('nowhere')
  })

  test('a secret has no flag', async () => {
    const helps = await Promise.all(
      [['enrol'], ['authority', 'init'], ['meter', 'run'], ['agent', 'run']].map((command) =>
        fogmeter(...command, '--help'),
      ),
    )
    for (const { stdout } of helps)
      expect(stdout).not.toMatch(/--\S*(secret|password|token|private)/)
  })
})

const METER = `
node = "fog-1"
[broker]
url = "mqtt://127.0.0.1:1"
[identity]
key = "{name}.key"
credential = "{name}.cwt"
authority = "authority.pub"
[store]
path = "meters.db"
[source]
kind = "sim"
`

const write = (name: string, text: string) => {
  writeFileSync(join(folder, name), text)
  return name
}

describe('config check and run', () => {
  test('a right file is right, for one meter and for a fleet with one store', async () => {
    const one = write('one.toml', METER)
    const fleet = write('fleet.toml', `${METER}[fleet]\ncount = 3\n`)
    for (const file of [one, fleet]) {
      expect(await fogmeter('config', 'check', file, '--for', 'meter')).toEqual({
        code: 0,
        stdout: `${file}: right for the meter\n`,
        stderr: '',
      })
    }
  })

  test.each([
    ['a misspelt key', METER.replace('url =', 'ulr ='), 'broker.ulr'],
    [
      'a pipe for a fleet',
      `${METER.replace('"sim"', '"stdin"')}[fleet]\ncount = 2\n`,
      'one pipe feeds one meter',
    ],
    [
      'one key for a fleet',
      `${METER.replace('{name}.key', 'a.key')}[fleet]\ncount = 2\n`,
      'identity.key',
    ],
    ['no source', METER.replace(/\[source\][^]*/, ''), 'add a section [source] with kind, one of'],
    ['no TOML', 'node = ', 'line 1'],
  ])('%s: exit code 2, naming it', async (name, text, words) => {
    const file = write('wrong.toml', text)
    const check = await fogmeter('config', 'check', file, '--for', 'meter')
    expect([name, check.code, check.stdout]).toEqual([name, 2, ''])
    expect(check.stderr).toContain(words)
    const run = await fogmeter('meter', 'run', '--config', file)
    expect([name, run.code]).toEqual([name, 2])
    expect(run.stderr).toContain(words)
  })

  test('an API open to the network without a token: said by the check already', async () => {
    const text = `broker.url = "unix:b.sock"
identity = { key = "c.key", credential = "c.cwt", authority = "authority.pub" }
store.path = "cloud.db"
http.listen = `
    const open = write('open.toml', `${text}"0.0.0.0:8080"\n`)
    const outcome = await fogmeter('config', 'check', open, '--for', 'cloud')
    expect([outcome.code, outcome.stdout]).toEqual([2, ''])
    expect(outcome.stderr).toContain('set http.token_file')
    const local = write('local.toml', `${text}"127.0.0.1:8080"\n`)
    expect(await fogmeter('config', 'check', local, '--for', 'cloud')).toMatchObject({ code: 0 })
  })

  test('a file that is not there: exit code 3, and a source that is none: 2', async () => {
    expect(await fogmeter('agent', 'run', '--config', 'none.toml')).toMatchObject({ code: 3 })
    const file = write('source.toml', METER)
    for (const source of ['csv', 'sim:3', 'usb']) {
      const outcome = await fogmeter('meter', 'run', '--config', file, '--source', source)
      expect(outcome.code).toBe(2)
      expect(outcome.stderr).toContain('write --source sim')
    }
  })

  test('keys that are not there: exit code 3, and the log says what to do', async () => {
    const file = write('nokeys.toml', METER)
    const { code, stderr } = await fogmeter('meter', 'run', '--config', file)
    expect(code).toBe(3)
    expect(stderr).toContain('identity/missing')
  })

  test.each([
    ['a revocation list that is damaged', 'revoked.cose', 'credential/malformed'],
    ['a credential that is damaged', 'odd.cwt', 'identity/bad-credential'],
    ['a key that is damaged', 'odd.key', 'identity/bad-key'],
    ['the credential of another authority', 'authority.pub', 'identity/untrusted'],
  ])('%s: exit code 4, with its path and what to do', async (_, file, code) => {
    const out = `odd-${code.replace('/', '-')}`
    await fogmeter('enrol', 'fog', out, '--out', out)
    const of = (name: string) => join(out, name.replace('odd', out))
    await fogmeter('authority', 'init', '--dir', `${out}-other`)
    const other = readFileSync(join(folder, `${out}-other/authority.pub`))
    rmSync(join(folder, of(file)))
    writeFileSync(join(folder, of(file)), file === 'authority.pub' ? other : 'nonsense', {
      mode: 0o600,
    })
    const text = `
[broker]
url = "mqtt://127.0.0.1:1"
[identity]
key = "${of('odd.key')}"
credential = "${of('odd.cwt')}"
authority = "${of('authority.pub')}"
revocations = "${of('revoked.cose')}"
[store]
path = "${out}.db"
`
    const outcome = await fogmeter('agent', 'run', '--config', write(`${out}.toml`, text))
    expect(outcome).toMatchObject({ code: 4, stdout: '' })
    expect(outcome.stderr).toContain(`"code":"${code}"`)
    expect(outcome.stderr).toContain(of(file))
    expect(outcome.stderr).toContain('; copy ')
  })

  test('the authority says which list is damaged, and changes nothing', async () => {
    await fogmeter('authority', 'init', '--dir', 'hurt')
    const record = readFileSync(join(folder, 'hurt/enrolments.jsonl'), 'utf8')
    writeFileSync(join(folder, 'hurt/revoked.cose'), 'nonsense')
    const outcome = await fogmeter('enrol', 'meter', 'm', '--authority', 'hurt')
    expect(outcome).toMatchObject({ code: 4, stdout: '' })
    expect(outcome.stderr).toContain('hurt/revoked.cose is damaged')
    expect(outcome.stderr).toContain('restore its newest copy')
    expect(readFileSync(join(folder, 'hurt/enrolments.jsonl'), 'utf8')).toBe(record)
  })
})

describe('hostile and odd words on the command line', () => {
  test.each([
    ['a command', ['enr\u001b[2J']],
    ['an argument', ['enrol', '\u001b]0;title\u0007', 'x']],
    ['a name', ['enrol', 'meter', 'm\u001b[31m']],
    ['a folder', ['enrol', 'meter', 'm', '--authority', 'no\u001b[31mwhere']],
    ['a device', ['revoke', 'm\u009b31m']],
    ['a file', ['config', 'check', 'x\u001b[31m.toml', '--for', 'agent']],
    ['an option', ['status', '--\u001b[31m']],
    ['a time', ['summary', 'list', '--since', '\u202eyesterday']],
    ['a store', ['status', '--store', 'x\u001b[31m.db']],
  ])('%s is shown with its control characters escaped', async (_, args) => {
    const { code, stdout, stderr } = await fogmeter(...args)
    expect([2, 3]).toContain(code)
    expect(stdout).toBe('')
    expect(stderr).toMatch(/\\u(001b|009b|202e)/)
    expect(stderr).toBe(printableLines(stderr))
  })

  test('a key of a configuration file too', async () => {
    const file = write('keys.toml', `${METER}"b\\u001b[31m" = 1\n`)
    const { code, stderr } = await fogmeter('config', 'check', file, '--for', 'meter')
    expect([code, stderr.includes('\u001b')]).toEqual([2, false])
  })

  test('paths with spaces', async () => {
    await fogmeter('authority', 'init', '--dir', 'an authority')
    const where = ['--authority', 'an authority', '--out', 'new files']
    expect(await fogmeter('enrol', 'meter', 'spaced', ...where)).toMatchObject({ code: 0 })
    expect(existsSync(join(folder, 'new files/spaced.cwt'))).toBe(true)
  })

  test.each([
    ['where nobody can write', '/proc/nowhere', '/proc/nowhere cannot be written'],
    ['below a file', 'authority/authority.pub/x', 'authority/authority.pub cannot be written'],
  ])('a folder %s: said at once, and nothing is enrolled', async (_, out, words) => {
    const outcome = await fogmeter('enrol', 'meter', 'homeless', '--out', out)
    expect(outcome).toMatchObject({ code: 1, stdout: '' })
    expect(outcome.stderr).toContain(words)
    expect(await fogmeter('revoke', 'homeless')).toMatchObject({ code: 3 })
  })

  test.each([
    ['a folder as a store', ['status', '--store', '.'], 3, 'give store.path'],
    ['another file as a store', ['status', '--store', 'text'], 4, 'not a SQLite file'],
    ['a folder as a configuration', ['agent', 'run', '--config', '.'], 3, '.: is a folder'],
    ['no configuration', ['agent', 'run', '--config', 'none'], 3, 'none: does not exist'],
    ['no token', ['status', '--token-file', 'none'], 3, 'check --token-file'],
  ])('%s', async (_, args, code, words) => {
    write('text', 'no database, but long enough to have a header of a hundred bytes. '.repeat(2))
    const outcome = await fogmeter(...args)
    expect(outcome).toMatchObject({ code, stdout: '' })
    expect(outcome.stderr).toContain(words)
  })
})

const completions = async (...words: string[]) =>
  (await fogmeter('complete', '--', ...words)).stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => line.split('\t')[0])

/** Whether this machine has the shell; every Linux has bash. */
const has = (shell: string) => spawnSync(shell, ['--version']).error === undefined

/** `fogmeter` of the shells below: it answers questions for completion, and tells how it was run. */
const stub = {
  bash: `fogmeter() { '${process.execPath}' '${cli}' "$@"; }`,
  zsh: `fogmeter() {
  if [[ $1 == complete ]]; then '${process.execPath}' '${cli}' "$@"; else print -r -- "RAN:\${(j:,:)@}"; fi
}`,
  fish: `function fogmeter; '${process.execPath}' '${cli}' $argv; end`,
}

/** What fish offers at the end of a line, values only. */
const askFish = (line: string) => `complete -C '${line}' | string split -f 1 \\t; echo END`

describe('completion', () => {
  test.each([
    ['commands', [''], ['enrol', 'meter', 'summary', 'completion']],
    ['sub-commands, and the fleet’s own', ['meter', ''], ['run', 'list']],
    ['an argument’s choices', ['enrol', ''], ['meter', 'fog', 'cloud']],
    ['an option’s choices', ['config', 'check', '--for', 'a'], ['agent']],
    ['options', ['config', 'check', 'agent.toml', '--f'], ['--for']],
    ['shells', ['completion', ''], ['bash', 'zsh', 'fish']],
  ])('offers %s', async (_, words, expected) => {
    expect(await completions(...words)).toEqual(expect.arrayContaining(expected))
  })

  test.each([
    ['an option that wants a file', ['agent', 'run', '--config', '']],
    ['an argument that is a file', ['config', 'check', '']],
    ['an argument too many', ['completion', 'bash', '']],
    ['a value that begins like an option', ['summary', 'list', '--since', '--']],
    ['what is for scripts alone', ['complet', 'x']],
  ])('offers nothing for %s', async (_, words) => {
    expect(await completions(...words)).toEqual([])
  })

  test('an unknown shell is named, with those there are', async () => {
    const outcome = await fogmeter('completion', 'tcsh')
    expect(outcome).toMatchObject({ code: 2, stdout: '' })
    expect(outcome.stderr).toContain('bash, zsh, fish')
  })

  test('a plain bash completes with its script, sourced twice, and runs nothing of the line', async () => {
    const { stdout: script } = await fogmeter('completion', 'bash')
    const input = `${stub.bash}
set -eu
${script}
${script}
COMP_WORDS=(fogmeter enrol '$(echo ran >&2)' '' ) COMP_CWORD=2
__fogmeter_complete
COMP_WORDS=(fogmeter enrol '') COMP_CWORD=2
__fogmeter_complete
echo "\${COMPREPLY[*]}"
complete -p fogmeter`
    const { status, stdout, stderr } = spawnSync('bash', ['--norc'], { input, encoding: 'utf8' })
    expect([status, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/^meter fog cloud\ncomplete -o default/)
  })

  test.skipIf(!has('fish'))('fish does (where it is installed)', async () => {
    const { stdout: script } = await fogmeter('completion', 'fish')
    write('a file.toml', METER)
    const input = [
      stub.fish,
      script,
      script,
      `cd '${folder}'`,
      askFish('fogmeter enr'),
      askFish('fogmeter enrol '),
      askFish('fogmeter config check --for a'),
      askFish('fogmeter agent run --config a'),
      askFish('fogmeter enrol (echo ran >&2; touch ran) --gr'),
    ].join('\n')
    const { status, stdout, stderr } = spawnSync(
      'fish',
      ['--no-config', join(folder, write('ask.fish', input))],
      { encoding: 'utf8' },
    )
    expect([status, stderr]).toEqual([0, ''])
    const answers = stdout.split('END\n').map((part) => part.trim().split('\n'))
    expect(answers.slice(0, 3)).toEqual([['enrol'], ['cloud', 'fog', 'meter'], ['agent']])
    expect(answers[3]).toEqual(expect.arrayContaining(['a file.toml']))
    expect(existsSync(join(folder, 'ran'))).toBe(false)
  })

  test.skipIf(!has('zsh'))('zsh does, at a terminal (where it is installed)', async () => {
    const { stdout: script } = await fogmeter('completion', 'zsh')
    write('a file.toml', METER)
    const setup = write('setup.zsh', [`cd '${folder}'`, stub.zsh, script, script].join('\n'))
    const input = `zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell $'PS1= RPS1=; source \\'${join(folder, setup)}\\'; print READ""Y'
zpty -r shell out '*READY*'
ask() {
  zpty -wn shell "$1"$'\\r'
  zpty -r shell out $'*RAN:*\\n*'
  print -r -- "\${\${out##*RAN:}%%$'\\r'*}"
}
ask $'fogmeter enr\\tme\\tx'
ask $'fogmeter meter li\\t--fo\\t'
ask $'fogmeter config check --for=x --fo\\ta\\t'
ask $'fogmeter agent run --config a\\\\ f\\t'
ask $'fogmeter enrol \\'$(touch ran)\\' --gr\\t'
zpty -d shell`
    const { status, stdout } = spawnSync('zsh', ['-f'], {
      input,
      encoding: 'utf8',
      env: { ...process.env, HOME: folder },
    })
    expect([status, stdout.trimEnd().split('\n')]).toEqual([
      0,
      [
        'enrol,meter,x',
        'meter,list,--fog',
        'config,check,--for=x,--for,agent',
        'agent,run,--config,a file.toml',
        'enrol,$(touch ran),--group',
      ],
    ])
    expect(existsSync(join(folder, 'ran'))).toBe(false)
  })
})

describe('started under another Node', () => {
  test('the shim runs in place under this one', async () => {
    expect(await started(process.execPath, [shim, '--version'])).toMatchObject({
      code: 0,
      stdout: `${packageFile.version}\n`,
    })
    expect(await started(process.execPath, [shim, 'enrl'])).toMatchObject({ code: 2 })
  })

  // Every Node that is started says which flags it has.
  const telling = {
    NODE_OPTIONS: '--import=data:text/javascript,console.error(process.execArgv.join())',
  }

  test('the shim, started as a command, has the flags the programs want', async () => {
    const PATH = `${dirname(process.execPath)}:${process.env['PATH'] ?? ''}`
    const { code, stderr } = await started(shim, ['--version'], { ...telling, PATH })
    expect([code, stderr]).toEqual([0, `${nodeFlags.join()}\n`])
  })

  const old = oldNode()
  test.skipIf(old === null)('an older Node hands its flags over too', async () => {
    const { stderr } = await started(old ?? '', [...nodeFlags, shim, '--version'], telling)
    expect(stderr).toBe(`${nodeFlags.join()}\n`.repeat(2))
  })

  test.skipIf(old === null)(
    'an older Node hands over to the bundled one, exit code and signals too',
    async () => {
      const outcome = await started(old ?? '', [shim, '--version'])
      expect(outcome).toEqual({ code: 0, stdout: `${packageFile.version}\n`, stderr: '' })
      expect(await started(old ?? '', [shim, 'revoke', 'nobody-at-all'])).toMatchObject({ code: 3 })

      await fogmeter('enrol', 'meter', 'm', '--out', '.')
      writeFileSync(join(folder, 'm.toml'), METER.replaceAll('{name}', 'm'))
      const child = spawn(old ?? '', [shim, 'meter', 'run', '--config', 'm.toml'], { cwd: folder })
      for await (const chunk of child.stderr) if (String(chunk).includes('"started"')) break
      child.kill('SIGTERM')
      expect(await once(child, 'exit')).toEqual([0, null])
    },
  )

  test.skipIf(old === null)('without the bundled one it says what to do', async () => {
    const lonely = join(folder, 'lonely.mjs')
    writeFileSync(lonely, readFileSync(shim))
    const outcome = await started(old ?? '', [lonely, '--version'])
    expect(outcome).toMatchObject({ code: 1, stdout: '' })
    expect(outcome.stderr).toContain('npm ci')
  })
})

/** A Node of this machine that cannot run TypeScript, or null. */
function oldNode(): string | null {
  for (const path of ['/usr/bin/node', '/usr/local/bin/node']) {
    if (!existsSync(path)) continue
    const version = spawnSync(path, ['--version']).stdout.toString()
    if (Number(/^v(\d+)/.exec(version)?.[1] ?? 99) < 22) return path
  }
  return null
}
