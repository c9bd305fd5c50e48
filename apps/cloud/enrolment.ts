import type { CloudConfig } from '#config'
import { createTrust, type Credential } from '#credential'
import { nativeCrypto } from '#crypto-native'
import { createEnrolmentDesk, type Enrolment, type EnrolmentStore } from '#enrolment'
import { enrolKey, requireFree, type DeviceIdentity } from '#identity'
import type { Clock } from '#ports'
import type { EnrolmentService } from './http/enrolment-routes.ts'

interface EnrolmentContext {
  config: Pick<CloudConfig, 'enrolment'>
  identity: Pick<DeviceIdentity, 'deviceId' | 'authorityKey' | 'credential'>
  store: EnrolmentStore
  log: { info(data: object, message: string): void; warn(data: object, message: string): void }
  clock: Pick<Clock, 'now'>
}

/** The desk for new fog nodes, with the authority behind it where it is on this machine. */
export function openEnrolment(context: EnrolmentContext): EnrolmentService | null {
  const { config, identity, store, log, clock } = context
  if (config.enrolment === undefined) return null
  const { authority } = config.enrolment
  const nowS = () => Math.floor(clock.now() / 1000)
  const trust = createTrust({
    crypto: nativeCrypto,
    authorityKey: identity.authorityKey,
    now: () => null,
  })

  function issue({ name, publicKey, replace }: Enrolment): Uint8Array | null {
    if (authority === undefined) return null
    const { group } = identity.credential
    const options = { publicKey, replace, group, nowS: nowS() }
    const credential = enrolKey(authority, 'fog', name, options)
    // An authority that nobody here believes would make nodes that nobody lets in.
    trust.check(credential)
    log.info({ fog: name }, 'enrolled a fog node')
    return credential
  }

  return {
    cloud: identity.deviceId,
    store,
    readCredential: (encoded): Credential => trust.check(encoded),
    desk: createEnrolmentDesk({
      crypto: nativeCrypto,
      clock,
      store,
      issue,
      checkName(name, replace) {
        if (authority !== undefined) requireFree(authority, 'fog', name, { replace, nowS: nowS() })
      },
      onRefused: (refusal) => log.warn(refusal, 'an enrolment was refused'),
    }),
  }
}
