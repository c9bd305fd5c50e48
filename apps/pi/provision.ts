/**
 * An existing Raspberry Pi OS becomes a fog node over SSH: the package, and the files that "pi prepare" would
 * write. The Pi's own first boot does the rest, so its key never leaves it. Each step looks at what is
 * there: whoever was interrupted starts it again.
 */
import { createHash } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { basename } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { nodeConfig, parseConfig, type NodeConfig } from '#config'
import { CodedError } from '#errors'
import { readFile } from '#identity'
import type { Clock, Random } from '#ports'
import { LOOK, obstacles, parseFacts, type Facts } from './facts.ts'
import { prepareCard, type NodeWishes, type Register } from './prepare.ts'
import { quoted, type Answer, type Input, type Remote } from './remote.ts'

export interface ProvisionOptions {
  remote: Remote
  /** The package, by its name from `npm run package`. */
  deb: string
  wishes: NodeWishes & { fog: string }
  /** null: without a token; the node shows a code, and somebody claims it. */
  register: Register | null
  random: Random
  clock: Clock
  sleep: (ms: number) => Promise<void>
  /** When the cloud last heard of the node; null before it is enrolled and has reported. */
  lastHeard: () => Promise<string | null>
  /** How long to wait for that, ms. */
  patienceMs: number
  onStep: (step: Step, already: boolean) => void
  /** What the Pi's first boot says meanwhile. */
  onWords: (words: string) => void
  /** The code that the Pi shows, as it said over SSH: whoever claims it names this machine's own key. */
  onCode: (code: string) => void
}

export type Step = 'checked' | 'copied' | 'installed' | 'settings' | 'started' | 'reported'

const BOOT = '/boot/firmware/fogmeter'
const UNITS = 'fogmeter-first-boot fogmeter-broker fogmeter-agent'
const AS_ROOT = 'as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }\n'
/** Of the user who logs in, and of nobody else. */
const OWN = 'umask 077; d=$HOME/.cache/fogmeter; mkdir -p "$d"\n'

/**
 * @throws cli/no-file, pi/unsuitable, pi/no-ssh, pi/remote-failed, pi/package-mismatch, pi/not-heard, and as
 * `prepareCard`
 */
export async function provision(options: ProvisionOptions): Promise<void> {
  const { remote, deb, wishes, onStep } = options
  const facts = await check(options)
  onStep('checked', false)
  onStep('copied', await copy(remote, deb))
  onStep('installed', await install(remote, basename(deb)))
  const settled = await settings(options, facts)
  onStep('settings', settled)
  const before = await options.lastHeard()
  const running = await start(remote, settled && facts.node === wishes.fog)
  onStep('started', running)
  await untilHeard(options, running ? null : before)
  onStep('reported', false)
}

async function check({ remote, deb, wishes, clock }: ProvisionOptions): Promise<Facts> {
  const architecture = /_(arm64|amd64)\.deb$/.exec(deb)?.[1]
  if (architecture === undefined)
    throw new CodedError('cli/usage', `${deb}: the package is called fogmeter_VERSION_arm64.deb`)
  if (!existsSync(deb))
    throw new CodedError('cli/no-file', `${deb} does not exist: npm run package`)
  const facts = parseFacts((await remote.run(LOOK)).stdout)
  const nowS = Math.floor(clock.now() / 1_000)
  const problems = obstacles(facts, { architecture, fog: wishes.fog, nowS })
  if (problems.length === 0) return facts
  const list = problems.join('\n  ')
  throw new CodedError('pi/unsuitable', `nothing was changed on ${remote.target}:\n  ${list}`)
}

/** True when it is there already, whole. */
async function copy(remote: Remote, deb: string): Promise<boolean> {
  const sum = await digestOf(deb)
  const name = quoted(basename(deb))
  const test = `${OWN}cd "$d" && echo ${sum}'  '${name} | sha256sum --check --status`
  if ((await remote.run(test)).code === 0) return true
  await must(remote, 'copy the package', `${OWN}cat > "$d"/${name}`, { file: deb })
  if ((await remote.run(test)).code === 0) return false
  const message = `${basename(deb)} did not arrive at ${remote.target} as it is here; try again`
  throw new CodedError('pi/package-mismatch', message)
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}

/** True when this version is there already, and configured to its end. */
async function install(remote: Remote, deb: string): Promise<boolean> {
  const name = quoted(deb)
  const test = `${OWN}v=$(dpkg-deb -f "$d"/${name} Version) &&
    [ "$(dpkg-query -W -f '\${Version} \${Status}' fogmeter 2>/dev/null)" = "$v install ok installed" ]`
  if ((await remote.run(test)).code === 0) return true
  // What an interrupted dpkg left comes first; it refuses anything else until then.
  const quietly = 'as_root env DEBIAN_FRONTEND=noninteractive'
  const script = `${AS_ROOT}${OWN}${quietly} dpkg --configure -a &&
    ${quietly} apt-get install --yes -o Dpkg::Options::=--force-confold "$d"/${name}`
  await must(remote, 'install the package', script)
  return false
}

/** True when they are there already: a node that is one, or waits for its first boot with a token. */
async function settings(
  { remote, wishes, register, random, clock }: ProvisionOptions,
  facts: Facts,
): Promise<boolean> {
  const fix = 'name the public key of your authority with --authority-key'
  const authority = createHash('sha256').update(readFile(wishes.authority, fix)).digest('hex')
  const enrolled = facts.node === wishes.fog && facts.authority === authority
  const there = await settingsThere(remote)
  if (there !== null && isWished(there.config, wishes)) {
    const ageS = clock.now() / 1_000 - there.tokenS
    const usable = register === null ? there.tokenS === 0 : ageS < FRESH_S
    if (enrolled || (there.authority === authority && usable)) return true
  }
  const node = there?.config.cloud[0]?.node ?? wishes.cloud.node
  const known = enrolled ? { ...wishes, cloud: { ...wishes.cloud, node } } : wishes
  const { files } = await prepareCard(known, { register: enrolled ? null : register, random })
  for (const [name, content] of files) await place(remote, `${BOOT}/${name}`, content)
  return false
}

/** A token counts for 24 hours: one that is nearly used up by time is made again. */
const FRESH_S = 23 * 3_600

interface There {
  config: NodeConfig
  authority: string
  /** When the token was written, s; 0 when there is none any more. */
  tokenS: number
}

async function settingsThere(remote: Remote): Promise<There | null> {
  const read = `cd ${BOOT} && sha256sum authority.pub | cut -d " " -f 1 &&
    { stat -c %Y token 2>/dev/null || echo 0; } && cat node.toml`
  const { code, stdout } = await remote.run(`${AS_ROOT}as_root sh -c ${quoted(read)}`)
  const [authority = '', tokenS = '', ...text] = stdout.split('\n')
  if (code !== 0) return null
  try {
    const config = parseConfig(nodeConfig, text.join('\n'), `${BOOT}/node.toml`)
    return { config, authority, tokenS: Number(tokenS) }
  } catch {
    return null // half-written or another's: written anew
  }
}

/** Not whether certificates beside it are the same: node.toml decides whether a Pi looks at them again. */
function isWished({ fog, cloud, enrolment, discovery }: NodeConfig, wishes: NodeWishes): boolean {
  const [first, ...others] = cloud
  return (
    fog.name === wishes.fog &&
    others.length === 0 &&
    first?.url === wishes.cloud.url &&
    (first.ca === undefined) === (wishes.cloud.ca === undefined) &&
    enrolment.url === wishes.api.url &&
    (enrolment.ca === undefined) === (wishes.api.ca === undefined) &&
    discovery.mdns === (wishes.mdns ?? true)
  )
}

/** In one step, as a file appears or not; its content goes through the pipe and stands on no command line. */
async function place(remote: Remote, path: string, content: string | Uint8Array | null) {
  const [file, part] = [quoted(path), quoted(`${path}.new`)]
  const write = `umask 077; mkdir -p ${BOOT} && cat > ${part} && sync ${part} && mv ${part} ${file}`
  const script = `${AS_ROOT}as_root sh -c ${quoted(content === null ? `rm -f ${file}` : write)}`
  await must(remote, `write ${path}`, script, Buffer.from(content ?? ''))
}

/** True when everything runs already and nothing about it was changed. */
async function start(remote: Remote, unchanged: boolean): Promise<boolean> {
  const running = `systemctl is-active --quiet ${UNITS}`
  if (unchanged && (await remote.run(running)).code === 0) return true
  const script = `${AS_ROOT}as_root systemctl --quiet enable ${UNITS} &&
    as_root systemctl reset-failed ${UNITS} 2>/dev/null
    as_root systemctl --no-block restart ${UNITS}`
  await must(remote, 'start the node', script)
  return false
}

const LOOK_EVERY_MS = 2_000

/** What was heard before it was started is about an earlier life. @throws pi/not-heard */
async function untilHeard(options: ProvisionOptions, before: string | null): Promise<void> {
  const { remote, wishes, clock, patienceMs } = options
  const endMs = clock.monotonic() + patienceMs
  let [words, code] = ['', '']
  for (;;) {
    const heard = await options.lastHeard()
    if (heard !== null && heard !== before) return
    const shown = options.register === null ? await shownCode(remote) : ''
    if (shown !== code && shown !== '') options.onCode(shown)
    code = shown
    const now = code === '' ? await lastWords(remote) : words
    if (now !== words && now !== '') options.onWords(now)
    words = now
    if (clock.monotonic() > endMs) throw unheard(wishes.fog, patienceMs, words)
    await options.sleep(LOOK_EVERY_MS)
  }
}

function unheard(fog: string, waitedMs: number, words: string): CodedError {
  const message = `"${fog}" is started, and the cloud has not heard of it within ${waitedMs / 1_000} s`
  const said = words === '' ? '' : `; its first boot said: ${words}`
  return new CodedError('pi/not-heard', `${message}${said}; the same command goes on waiting`)
}

async function lastWords(remote: Remote): Promise<string> {
  const script = `${AS_ROOT}as_root journalctl -q --no-pager -u fogmeter-first-boot -n 1 -o cat`
  return (await remote.run(script)).stdout.trim()
}

/** What the first boot shows now to be claimed by, and not one of an earlier life; empty when it shows none. */
async function shownCode(remote: Remote): Promise<string> {
  const unit = 'fogmeter-first-boot'
  const script = `${AS_ROOT}[ "$(systemctl is-active ${unit})" = activating ] &&
    as_root journalctl -q --no-pager -o cat _SYSTEMD_INVOCATION_ID="$(systemctl show -P InvocationID ${unit})" |
    sed -n 's/.*fogmeter fog claim \\([a-z]*\\(-[a-z]*\\)*\\) --name .*/\\1/p' | tail -n 1`
  return (await remote.run(script)).stdout.trim()
}

async function must(remote: Remote, what: string, script: string, input?: Input) {
  const answer = await remote.run(script, input)
  if (answer.code !== 0) throw failed(remote, what, answer)
}

function failed({ target }: Remote, what: string, { code, stderr }: Answer): CodedError {
  const reason = stderr.trim().split('\n').slice(-3).join('\n  ')
  return new CodedError('pi/remote-failed', `${target} could not ${what} (${code}):\n  ${reason}`)
}
