/** A Pi's first start, with the plug pulled after each step and with a liar between it and the cloud. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { agentConfig, brokerConfig, loadConfig } from '#config'
import { decodeCredential } from '#credential'
import { nodeCrypto } from '#crypto-node'
import { fingerprintOf, tokenKey } from '#enrolment'
import { codeOf, CodedError } from '#errors'
import { loadIdentity, readEnrolments } from '#identity'
import type { CloudAnswer } from '../../apps/pi/ask.ts'
import { firstBoot, type FirstBootOptions, type FirstBootStep } from '../../apps/pi/first-boot.ts'
import { prepareCard } from '../../apps/pi/prepare.ts'
import { testDesk } from '../support/enrolment.ts'

let bench: ReturnType<typeof testDesk>
let [boot, state, etc] = ['', '', '']
beforeEach(() => {
  bench = testDesk()
  ;[boot, state, etc] = ['boot', 'state', 'etc'].map((name) => join(bench.folder, name)) as [
    string,
    string,
    string,
  ]
  mkdirSync(boot)
})
afterEach(() => bench.close())

const random = (length: number) => Uint8Array.from(randomBytes(length))
const register = async (id: Uint8Array, name: string) => {
  bench.desk.approve({ id, name, replace: true })
  return { cloud: 'cloud-a' }
}

/** A card as "pi prepare" makes it. */
async function prepare(fog: string | null = 'FN-01', withToken = true): Promise<void> {
  const { files } = await prepareCard(
    {
      ...(fog !== null && { fog }),
      cloud: { url: 'mqtts://cloud.example:8883', node: 'cloud-x' },
      api: { url: 'https://cloud.example' },
      authority: join(bench.authority, 'authority.pub'),
    },
    { register: withToken ? register : null, random },
  )
  for (const [name, content] of files)
    if (content !== null) writeFileSync(join(boot, name), content)
}

const tokenOnCard = () => readFileSync(join(boot, 'token'), 'latin1').trim()

interface Way {
  ask?: FirstBootOptions['ask']
  onStep?: (step: FirstBootStep) => void
  wait?: (ms: number) => Promise<void>
}

/** One start of the Pi: what it said, and how it ended. */
async function start({ ask, onStep, wait }: Way = {}) {
  const said: string[] = []
  const shown: string[] = []
  const options: FirstBootOptions = {
    boot,
    state,
    etc,
    random,
    ask: ask ?? honest,
    wait: wait ?? (() => Promise.resolve()),
    say: (line) => said.push(line),
    async show(code) {
      shown.push(code)
      return async () => void shown.push('hidden')
    },
    ...(onStep !== undefined && { onStep }),
  }
  const outcome = await firstBoot(options).catch((error: unknown) => error)
  return { said, shown, outcome, code: codeOf(outcome) }
}

async function honest(_endpoint: unknown, request: Uint8Array): Promise<CloudAnswer> {
  const answer = bench.desk.ask(request, '192.0.2.7')
  return answer.status === 'enrolled' ? answer : { ...answer, retryMs: 1 }
}

const unreachable = () => new CodedError('pi/unreachable', 'no answer from https://cloud.example')

/** All that the programs need, and only that. */
function expectNode(name: string): void {
  expect(existsSync(join(boot, 'token'))).toBe(false)
  const agent = loadConfig(agentConfig, join(etc, 'agent.toml'))
  const identity = loadIdentity({ ...agent.identity, key: join(etc, 'keys/agent.key') })
  expect(identity.deviceId).toBe(name)
  expect(identity.authorityKey).toEqual(bench.authorityKey)
  expect(loadConfig(brokerConfig, join(etc, 'broker.toml'))).toMatchObject({ node: name })
  expect(agent.cloud).toEqual([{ node: 'cloud-a', url: 'mqtts://cloud.example:8883' }])
  for (const path of [join(etc, 'keys/agent.key'), join(state, 'node/agent.key')])
    expect(statSync(path).mode & 0o777).toBe(0o600)
}

describe('with a token', () => {
  test('a key, a credential, the configurations; the token is gone', async () => {
    await prepare()
    const secret = tokenOnCard()
    const { outcome, said } = await start()
    expect(outcome).toBe('FN-01')
    expectNode('FN-01')
    expect(said.join('\n')).not.toContain(secret)
    const key = readFileSync(join(state, 'node/agent.key'), 'latin1')
    for (const name of readdirSync(boot))
      expect(readFileSync(join(boot, name), 'latin1')).not.toContain(key.split('\n')[1])
  })

  test('started again it asks nobody and changes nothing, not even what an operator edited', async () => {
    await prepare()
    await start()
    const edited = `${readFileSync(join(etc, 'agent.toml'), 'utf8')}\n[log]\nlevel = "debug"\n`
    writeFileSync(join(etc, 'agent.toml'), edited)
    const { outcome } = await start({ ask: () => Promise.reject(new Error('asked')) })
    expect(outcome).toBe('FN-01')
    expect(readFileSync(join(etc, 'agent.toml'), 'utf8')).toBe(edited)
  })

  test('configurations that are lost with the memory come back; a changed node.toml is followed', async () => {
    await prepare()
    await start()
    rmSync(etc, { recursive: true })
    await start({ ask: () => Promise.reject(new Error('asked')) })
    expectNode('FN-01')
    const settings = join(boot, 'node.toml')
    const { discovery } = loadConfig(brokerConfig, join(etc, 'broker.toml'))
    expect(discovery.mdns).toBe(true)
    const changed = readFileSync(settings, 'utf8').replace(':8883', ':8884')
    writeFileSync(settings, `${changed}\n[discovery]\nmdns = false\n`)
    await start({ ask: () => Promise.reject(new Error('asked')) })
    expect(readFileSync(join(etc, 'agent.toml'), 'utf8')).toContain(':8884')
    expect(loadConfig(brokerConfig, join(etc, 'broker.toml')).discovery.mdns).toBe(false)
  })

  test.each<FirstBootStep>(['read', 'key', 'asked', 'credential', 'placed', 'erased'])(
    'the plug is pulled after "%s": the next start ends well, with one key and one credential',
    async (last) => {
      await prepare()
      const cut = await start({
        onStep(step) {
          if (step === last) throw new Error('power cut')
        },
      })
      expect(cut.outcome).toMatchObject({ message: expect.stringContaining('power cut') as string })
      const { outcome } = await start()
      expect(outcome).toBe('FN-01')
      expectNode('FN-01')
      const [only, ...others] = readEnrolments(bench.authority)
      expect(others).toEqual([])
      expect(decodeCredential(readFileSync(join(etc, 'agent.cwt'))).publicKey).toEqual(
        new Uint8Array(Buffer.from(only?.publicKey ?? '', 'base64url')),
      )
    },
  )

  test('half-written files of an earlier start are no hindrance', async () => {
    await prepare()
    mkdirSync(join(state, 'node'), { recursive: true })
    writeFileSync(join(state, 'node/agent.key.new'), '-----BEGIN PRI')
    writeFileSync(join(state, 'node/agent.cwt'), 'half')
    mkdirSync(etc)
    writeFileSync(join(etc, 'agent.toml'), '[bro')
    expect((await start()).outcome).toBe('FN-01')
    expectNode('FN-01')
  })

  test('without a network it waits longer and longer, and says so once', async () => {
    await prepare()
    const waits: number[] = []
    let fails = 12
    const { outcome, said } = await start({
      ask: async (endpoint, request) => {
        if (fails-- > 0) throw unreachable()
        return honest(endpoint, request)
      },
      wait: async (ms) => void waits.push(ms),
    })
    expect(outcome).toBe('FN-01')
    expect(waits).toHaveLength(12)
    expect(Math.max(...waits)).toBeLessThanOrEqual(60_000)
    expect(Math.max(...waits)).toBeGreaterThan(2_000)
    expect(said.filter((line) => line.includes('trying again'))).toHaveLength(1)
  })

  test('a card prepared again with another name enrols again, under the same key', async () => {
    await prepare()
    await start()
    await prepare('FN-02')
    expect((await start()).outcome).toBe('FN-02')
    expectNode('FN-02')
    const keys = readEnrolments(bench.authority).map((entry) => entry.publicKey)
    expect(new Set(keys).size).toBe(1)
  })
})

/** A start that fails like this, configures nothing, and keeps the token to itself. */
async function refusal(): Promise<{ code: string; message: string }> {
  const { outcome, code } = await start()
  const message = (outcome as Error).message
  expect(message).not.toContain(tokenOnCard())
  expect(existsSync(join(etc, 'agent.toml'))).toBe(false)
  return { code, message }
}

describe('refusals say what to do, and keep the token', () => {
  test('expired', async () => {
    await prepare()
    bench.clock.s += 86_401
    expect(await refusal()).toMatchObject({
      code: 'enrolment/expired',
      message: expect.stringContaining('pi prepare') as string,
    })
  })

  test('used by another card with the same image: the second gets nothing, and it is reported', async () => {
    await prepare()
    const token = tokenOnCard()
    await start()
    writeFileSync(join(boot, 'token'), token)
    ;[state, etc] = [join(bench.folder, 'second'), join(bench.folder, 'second-etc')]
    expect(await refusal()).toMatchObject({
      code: 'enrolment/token-used',
      message: expect.stringContaining('revoke "FN-01"') as string,
    })
    expect(bench.refused).toMatchObject([{ code: 'enrolment/token-used', name: 'FN-01' }])
    expect(readEnrolments(bench.authority)).toHaveLength(1)
  })

  test('another name in node.toml', async () => {
    await prepare()
    const settings = join(boot, 'node.toml')
    writeFileSync(settings, readFileSync(settings, 'utf8').replace('FN-01', 'FN-02'))
    expect(await refusal()).toMatchObject({
      code: 'enrolment/wrong-name',
      message: expect.stringContaining('node.toml') as string,
    })
  })

  test('another cloud', async () => {
    await prepare()
    writeFileSync(join(boot, 'token'), 'AAECAwQFBgcICQoLDA0ODw')
    expect(await refusal()).toMatchObject({
      code: 'enrolment/unknown-token',
      message: expect.stringContaining('for this cloud') as string,
    })
  })

  test('a token that is none', async () => {
    await prepare()
    writeFileSync(join(boot, 'token'), 'nonsense')
    expect(await refusal()).toMatchObject({
      code: 'enrolment/bad-token',
      message: expect.stringContaining('prepare the card again') as string,
    })
  })
})

describe('somebody in the middle', () => {
  test('a credential of another authority, of another key, of another role: none is taken', async () => {
    const liar = testDesk()
    const answers = async (desk: typeof bench.desk, request: Uint8Array) => {
      const answer = desk.ask(request, '')
      return answer.status === 'enrolled' ? answer : { ...answer, retryMs: 1 }
    }
    await prepare()
    const forged = await start({
      ask: (_, request) => {
        liar.desk.approve({
          id: tokenKey(nodeCrypto, tokenOnCard()).publicKey,
          name: 'FN-01',
          replace: true,
        })
        return answers(liar.desk, request)
      },
    })
    expect(forged.code).toBe('credential/untrusted')
    liar.close()

    // Of our own authority, but issued to somebody else: the one who listens asked for himself.
    const own = join(bench.folder, 'own')
    const theirs = { boot, state: own, etc: join(bench.folder, 'own-etc') }
    await firstBoot({
      ...theirs,
      random,
      ask: honest,
      wait: async () => {},
      say: () => {},
      show: async () => async () => {},
    })
    const credential = readFileSync(join(own, 'node/agent.cwt'))
    await prepare()
    const swapped = await start({ ask: async () => ({ status: 'enrolled', credential }) })
    expect(swapped.code).toBe('enrolment/wrong-credential')
    expect(existsSync(join(state, 'node/agent.cwt'))).toBe(false)
    expect(existsSync(join(boot, 'token'))).toBe(true)
    expect((await start()).outcome).toBe('FN-01')
  })

  test('a lie about a refusal costs nothing but time', async () => {
    await prepare()
    const lie = new CodedError('enrolment/token-used', 'the token was used already')
    const { code } = await start({ ask: () => Promise.reject(lie) })
    expect(code).toBe('enrolment/token-used')
    expect((await start()).outcome).toBe('FN-01')
  })
})

describe('without a token', () => {
  test('it says its code, and goes on once that is claimed', async () => {
    await prepare(null, false)
    let asked = 0
    const { outcome, shown } = await start({
      ask: async (endpoint, request) => {
        const answer = await honest(endpoint, request)
        const [waiting] = bench.desk.waiting()
        if (asked++ === 2 && waiting !== undefined)
          bench.desk.approve({ id: fingerprint(waiting.publicKey), name: 'FN-07', replace: false })
        return answer
      },
    })
    expect(outcome).toBe('FN-07')
    expect(shown).toEqual([expect.stringMatching(/^([a-z]+-){7}[a-z]+$/), 'hidden'])
    rmSync(join(boot, 'node.toml'))
    expect((await start()).code).toBe('pi/no-file')
  })
})

function fingerprint(publicKey: Uint8Array): Uint8Array {
  return fingerprintOf(nodeCrypto, publicKey)
}
