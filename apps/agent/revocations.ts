import { checkRevocations, type RevocationList } from '#credential'
import { nativeCrypto } from '#crypto-native'
import { codeOf } from '#errors'
import {
  recallRevocations,
  rememberRevocations,
  watchRevocations,
  type DeviceIdentity,
} from '#identity'
import type { Logger } from '#service'

/** The revocation list in force, from a file, from the cloud, or from both: the higher number wins. */
export interface Revocations {
  current(): RevocationList | null
  /** A list that came over the network; anything but a newer genuine one changes nothing. */
  offer(encoded: Uint8Array): void
  close(): void
}

export interface RevocationOptions {
  path: string | undefined
  /** Where the newest list ever seen is kept, so that no restart brings an older one back. */
  memoryPath: string
  identity: DeviceIdentity
  log: Logger
  onChange(list: RevocationList): void
}

/** Throws `identity/…` or `credential/…` when a file is configured and cannot be used. */
export function followRevocations(options: RevocationOptions): Revocations {
  const { path, identity, log } = options
  const memory = rememberRevocations(options.memoryPath)
  const { authorityKey } = identity
  const onChange = (list: RevocationList) => {
    log.info({ number: list.number, revoked: list.ids.length }, 'new revocation list')
    options.onChange(list)
  }
  const onError = (error: unknown) => {
    log.error({ code: codeOf(error), err: error }, 'a revocation list could not be used')
  }
  if (path === undefined) return fromCloud(memory, authorityKey, onChange, onError)
  const handlers = { memory, onChange, onError }
  const watch = watchRevocations(path, { crypto: nativeCrypto, authorityKey, ...handlers })
  return {
    current: () => watch.current(),
    offer: (encoded) => attempt(() => watch.offer(encoded), onError),
    close: () => watch.close(),
  }
}

function fromCloud(
  memory: ReturnType<typeof rememberRevocations>,
  authorityKey: Uint8Array,
  onChange: (list: RevocationList) => void,
  onError: (error: unknown) => void,
): Revocations {
  let list = recallRevocations(memory, nativeCrypto, authorityKey)
  return {
    current: () => list,
    offer: (encoded) =>
      attempt(() => {
        const next = checkRevocations(nativeCrypto, authorityKey, encoded)
        if (list !== null && next.number <= list.number) return
        list = next
        onChange(next)
        memory.save(encoded) // last: what cannot be remembered is in force all the same
      }, onError),
    close: () => undefined,
  }
}

function attempt(work: () => unknown, onError: (error: unknown) => void): void {
  try {
    work()
  } catch (error) {
    onError(error)
  }
}
