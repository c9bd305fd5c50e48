/**
 * The first start of a Pi, and harmless at every later one: a key of its own, a credential for it, the
 * programs' configurations, and the token gone. Each step looks at what is there, and leaves it whole,
 * so that the plug may be pulled at any moment.
 */
import { existsSync } from 'node:fs'
import type { Credential } from '#credential'
import type { SigningKey } from '#crypto'
import { nativeCrypto } from '#crypto-native'
import { checkAnswer, claimCode, encodeRequest, fingerprintOf, tokenKey } from '#enrolment'
import { codeOf, CodedError, wordsOf } from '#errors'
import { createFolder, ensureKeyFile, readFile, replaceFile } from '#identity'
import { Backoff } from '#channel'
import type { Random } from '#ports'
import type { CloudAnswer, Endpoint } from './ask.ts'
import { eraseFile } from './erase.ts'
import { bootFiles, nodeFiles, readBoot, type BootSettings, type NodeFiles } from './node-files.ts'
import { place } from './place.ts'

export interface FirstBootOptions {
  /** The folder `fogmeter` on the boot partition. */
  boot: string
  state: string
  etc: string
  random: Random
  ask: (endpoint: Endpoint, request: Uint8Array) => Promise<CloudAnswer>
  wait: (ms: number) => Promise<void>
  /** Progress, for whoever looks at the screen or the journal. */
  say: (line: string) => void
  /** Nobody approved this node yet: shows its code until the promise's function is called. */
  show: (code: string, name: string | null) => Promise<() => Promise<void>>
  /** A step is done; a test stops here. */
  onStep?(step: FirstBootStep): void
}

export type FirstBootStep = 'read' | 'key' | 'asked' | 'credential' | 'placed' | 'erased'

const RETRY = { firstMs: 2_000, maxMs: 60_000 }

/**
 * Returns the node's name. Goes on for as long as the cloud cannot be reached or nobody has approved
 * the node. @throws pi/…, enrolment/…, config/…, identity/… for what needs somebody to act
 */
export async function firstBoot(options: FirstBootOptions): Promise<string> {
  const done = (step: FirstBootStep) => options.onStep?.(step)
  const boot = readBoot(options.boot)
  done('read')
  const files = nodeFiles(options.state)
  createFolder(options.state, 0o755)
  createFolder(files.folder)
  const key = nativeCrypto.signingKey(ensureKeyFile(files.key, options.random))
  done('key')
  const credential = presentCredential(boot, files, key) ?? (await enrol(boot, key, options, done))
  if (!isStored(files, credential)) replaceFile(files.credential, credential.encoded)
  done('credential')
  const { etc, state } = options
  const name = credential.deviceId
  const { config, text } = boot
  if (place({ boot: options.boot, etc, state, files, name, config, text }))
    options.say(`the programs are configured as fog node "${name}"`)
  done('placed')
  erase(bootFiles(options.boot).token, options)
  done('erased')
  return name
}

/** The credential from an earlier start, if it fits the key, the authority and the name. */
function presentCredential(
  boot: BootSettings,
  { credential }: NodeFiles,
  key: SigningKey,
): Credential | null {
  if (!existsSync(credential)) return null
  try {
    return check(boot, key, readFile(credential, ''))
  } catch {
    return null // another name, another authority, or damaged: the cloud is asked again
  }
}

function isStored({ credential }: NodeFiles, { encoded }: Credential): boolean {
  return existsSync(credential) && Buffer.from(encoded).equals(readFile(credential, ''))
}

function check(boot: BootSettings, key: SigningKey, encoded: Uint8Array): Credential {
  return checkAnswer({
    crypto: nativeCrypto,
    authorityKey: boot.authorityKey,
    name: boot.config.fog.name ?? null,
    publicKey: key.publicKey,
    encoded,
  })
}

/** Asks until there is a credential that holds. */
async function enrol(
  boot: BootSettings,
  key: SigningKey,
  options: FirstBootOptions,
  done: (step: FirstBootStep) => void,
): Promise<Credential> {
  const { config } = boot
  const name = config.fog.name ?? null
  const token = boot.token === null ? null : tokenKey(nativeCrypto, boot.token)
  const request = encodeRequest({ name, key, token })
  const code = claimCode(fingerprintOf(nativeCrypto, key.publicKey))
  const { url } = config.enrolment
  options.say(`asking ${url} for a credential${name === null ? '' : ` as "${name}"`}`)
  let hide: (() => Promise<void>) | null = null
  try {
    const encoded = await answered(config.enrolment, request, options, {
      done,
      onWaiting: async (reason) => {
        if (reason === 'approval') hide ??= await options.show(code, name)
      },
    })
    return check(boot, key, encoded)
  } catch (error) {
    throw refused(error, token !== null, code)
  } finally {
    await (hide as (() => Promise<void>) | null)?.()
  }
}

/** Asks again and again until the cloud has a credential, or refuses. */
async function answered(
  endpoint: Endpoint,
  request: Uint8Array,
  { ask, say, wait, random }: FirstBootOptions,
  {
    done,
    onWaiting,
  }: { done: (step: FirstBootStep) => void; onWaiting: (reason: string) => Promise<void> },
): Promise<Uint8Array> {
  const backoff = new Backoff(RETRY, random)
  let said = ''
  const sayOnce = (line: string) => {
    if (line !== said) say(line)
    said = line
  }
  for (;;) {
    try {
      const answer = await ask(endpoint, request)
      done('asked')
      if (answer.status === 'enrolled') return answer.credential
      backoff.reset()
      sayOnce(waitingFor(answer.for))
      await onWaiting(answer.for)
      await wait(answer.retryMs)
    } catch (error) {
      if (codeOf(error) !== 'pi/unreachable') throw error
      sayOnce(`${wordsOf(error)}; trying again`)
      await wait(backoff.next())
    }
  }
}

function waitingFor(what: string): string {
  return what === 'signature'
    ? 'approved; waiting for the authority: "fogmeter fog sign" on its machine'
    : 'the cloud answers; waiting for somebody to claim this node'
}

/** There is a second way in, and it needs no new card. */
function refused(error: unknown, withToken: boolean, code: string): unknown {
  if (!(error instanceof CodedError) || !withToken || !error.code.startsWith('enrolment/'))
    return error
  const way = `or delete "token" from the boot partition and claim it: fogmeter fog claim ${code}`
  return new CodedError(error.code, `${error.message}; ${way}`, { cause: error })
}

/** The token is used up: that it stays behind is worth a word, and no reason not to start. */
function erase(token: string, { say }: FirstBootOptions): void {
  if (!existsSync(token)) return
  try {
    eraseFile(token)
    say('the token is erased')
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? String(error)
    say(`${token} could not be erased (${reason}); it is used up, delete it when you can`)
  }
}
