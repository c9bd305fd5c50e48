import { createResponder } from '#channel'
import { createTrust } from '#credential'
import { nodeCrypto } from '#crypto-node'
import { loadIdentity, type IdentityPaths } from '#identity'
import { encodeDown, type Down } from '#messages'
import { runResponder } from '#mqtt-link'
import { systemClock, systemRandom } from '#service'
import { startBroker } from './channel-broker.ts'
import { createModelFog } from './model-fog.ts'

export type ModelFog = ReturnType<typeof createModelFog>

/** A broker without rules and a fog node that only keeps its promises, for tests of real meters. */
export interface TestFog {
  readonly port: number
  /** What it holds of a meter; made on first use. */
  of(deviceId: string): ModelFog | undefined
  /** Down to every open channel. */
  tell(down: Down): void
  /** Resolves when `condition` holds after some message; rejects after `boundMs`. */
  until(condition: () => boolean, boundMs?: number): Promise<void>
  close(): Promise<void>
}

export async function startTestFog(files: IdentityPaths): Promise<TestFog> {
  const identity = loadIdentity(files)
  const broker = await startBroker()
  const models = new Map<string, ModelFog>()
  const channels = new Set<string>()
  const waiting = new Set<() => void>()
  const { authorityKey, credential } = identity
  const responder = createResponder({
    crypto: nodeCrypto,
    random: systemRandom,
    clock: systemClock,
    own: { credential, key: nodeCrypto.signingKey(identity.signingSecret) },
    trust: createTrust({ crypto: nodeCrypto, authorityKey, now: () => null }),
    peerRole: 'meter',
    group: credential.group,
  })
  const link = runResponder({
    url: `mqtt://127.0.0.1:${broker.port}`,
    node: credential.deviceId,
    responder,
    onOpen: (cid) => void channels.add(cid),
    onClosed: (cid) => void channels.delete(cid),
    onMessage(cid, peer, payload) {
      const model =
        models.get(peer.deviceId) ??
        createModelFog(peer.deviceId, nodeCrypto.verifyKey(peer.publicKey))
      models.set(peer.deviceId, model)
      for (const down of [...model.receive(payload), ...model.commit()]) {
        link.send(cid, encodeDown(down))
      }
      for (const check of waiting) check()
    },
  })
  return {
    port: broker.port,
    of: (deviceId) => models.get(deviceId),
    tell: (down) => channels.forEach((cid) => link.send(cid, encodeDown(down))),
    until: (condition, boundMs = 30_000) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error('nothing like it happened')), boundMs)
        const check = () => {
          if (!condition()) return
          clearTimeout(timer)
          waiting.delete(check)
          resolve()
        }
        waiting.add(check)
        check()
      }),
    async close() {
      await link.close()
      await broker.kill()
    },
  }
}
