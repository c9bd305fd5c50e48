import { CLOCK_SLACK_S, createTrust, judgingTime } from '#credential'
import { nativeCrypto } from '#crypto-native'
import { CodedError } from '#errors'
import type { DeviceIdentity } from '#identity'
import { systemClock, systemRandom } from '#service'
import { impostures, wrongMessage4 } from './acts-attack.ts'
import { futureReceipt, refusal, withoutReceipt } from './acts-delivery.ts'
import { heldMessage2, heldMessage4 } from './acts-handshake.ts'
import { opening, readings, recovery, rekeying, unknownSession } from './acts-session.ts'
import { groupOf } from './clauses.ts'
import { makeImpostors, type Signer } from './impostors.ts'
import { PlayedNode } from './node.ts'
import { NO_SESSION, type Act, type Patience, type Stage } from './stage.ts'
import { Verdicts, type Result } from './verdicts.ts'

export interface ConformanceOptions extends Patience {
  /** The node to play. */
  readonly identity: DeviceIdentity
  /** The authority's key, for impostors it would have to sign; null without. */
  readonly signer: Signer | null
  readonly listen: { readonly host: string; readonly port: number }
  /** Name the meter has to prove; null for any. */
  readonly meter: string | null
  /** Groups of clauses; null for all. */
  readonly only: ReadonlySet<string> | null
  /** Called once, with the URL the meter should connect to. */
  onListening?(url: string): void
  say(text: string): void
  readonly signal: AbortSignal
}

/**
 * In this order: what needs a working session first, then what makes a meter wait long before it
 * comes back.
 */
const acts: readonly Act[] = [
  opening,
  readings,
  heldMessage2,
  heldMessage4,
  withoutReceipt,
  futureReceipt,
  refusal,
  unknownSession,
  rekeying,
  wrongMessage4,
  ...impostures,
  recovery,
]

/**
 * Plays a fog node to whatever meter connects, and judges it.
 * @throws conformance/bad-listen, conformance/wrong-role, broker/…
 */
export async function runConformance(options: ConformanceOptions): Promise<Result[]> {
  const { identity, only, signal } = options
  const verdicts = new Verdicts()
  const own = { credential: fogCredential(identity), key: signingKeyOf(identity) }
  const trust = createTrust({
    crypto: nativeCrypto,
    authorityKey: identity.authorityKey,
    now: judgingTime(systemClock, identity.credential),
    slackS: CLOCK_SLACK_S,
  })
  const { listen, meter } = options
  const node = new PlayedNode({ own, trust, meter, listen, verdicts })
  const surroundings = { clock: systemClock, random: systemRandom }
  const impostors = makeImpostors(own, options.signer, surroundings)
  const wanted = acts.filter((act) => isWanted(act, only))
  const aborted = new Promise<'aborted'>((resolve) => {
    signal.addEventListener('abort', () => resolve('aborted'))
    if (signal.aborted) resolve('aborted')
  })
  try {
    await node.open()
    options.onListening?.(node.url)
    await Promise.race([perform(wanted, { ...options, node, verdicts, impostors }), aborted])
  } finally {
    await node.close()
  }
  node.messages?.blocks.finish()
  return verdicts.results(only)
}

async function perform(wanted: readonly Act[], stage: Stage): Promise<void> {
  for (const [index, act] of wanted.entries()) {
    const place = `[${index + 1}/${wanted.length}] ${act.title}`
    stage.say(place)
    await act.run({ ...stage, say: (text) => stage.say(`${place}: ${text}`) })
    if (act !== opening || stage.node.messages !== null) continue
    // Nothing below can be judged: why there was no session stands among the handshake's clauses.
    for (const later of wanted)
      for (const id of later.decides) stage.verdicts.unseen(id, NO_SESSION)
    return
  }
}

function isWanted(act: Act, only: ReadonlySet<string> | null): boolean {
  // Readings show what every session has: connections, handshakes, records, messages.
  if (only === null || act === opening || act === readings) return true
  return act.decides.some((id) => only.has(groupOf(id)))
}

function fogCredential({ credential }: DeviceIdentity): DeviceIdentity['credential'] {
  if (credential.role === 'fog') return credential
  throw new CodedError(
    'conformance/wrong-role',
    `"${credential.deviceId}" is enrolled as ${credential.role}: make the files of a node to play ` +
      'with "fogmeter enrol fog NAME"',
  )
}

function signingKeyOf({ signingSecret }: DeviceIdentity) {
  return nativeCrypto.signingKey(signingSecret)
}
