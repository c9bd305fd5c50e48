/** What can be learned from answers, RFC 6763 §4 to §6: nothing of it is proved. */
import type { Answer, Packet, StringAnswer } from 'dns-packet'
import { SERVICE, sameName } from './names.ts'

/** A node's claim to be at an address. */
export interface FoundFog {
  /** The name it says it has. */
  node: string
  /** IPv4. */
  address: string
  port: number
}

/** As in credentials and topics. */
const NODE = /^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/
/** Somebody who makes up thousands is not listened to for ever. */
export const MOST_FOUND = 64

/**
 * The fog nodes `message` speaks of, at addresses that `isNear` accepts; an address elsewhere would let
 * anybody on this network choose whom its meters knock at.
 */
export function gather(message: Packet, isNear: (address: string) => boolean): FoundFog[] {
  if (message.type !== 'response') return []
  const records = [...(message.answers ?? []), ...(message.additionals ?? [])]
  const pointers = records.filter(({ type, name }) => type === 'PTR' && sameName(name, SERVICE))
  return pointers.slice(0, MOST_FOUND).flatMap((pointer) => {
    const found = pointer.type === 'PTR' ? resolve(pointer.data, records) : null
    return found !== null && isNear(found.address) ? [found] : []
  })
}

function resolve(instance: string, records: readonly Answer[]): FoundFog | null {
  const lasting = records.filter((record) => record.type !== 'OPT' && record.ttl !== 0)
  const named = (name: string) => lasting.filter((record) => sameName(record.name, name))
  const service = named(instance).find((record) => record.type === 'SRV')
  const text = named(instance).find((record) => record.type === 'TXT')
  if (service === undefined || text === undefined) return null
  const host = named(service.data.target).find(
    (record): record is StringAnswer => record.type === 'A',
  )
  const node = nodeIn([text.data].flat())
  const { port } = service.data
  if (host === undefined || node === null || port === 0) return null
  return { node, address: host.data, port }
}

/** RFC 6763 §6.4: keys are the same whatever their case, and the first of its name counts. */
function nodeIn(strings: readonly (string | Buffer)[]): string | null {
  const texts = strings.map((text) => text.toString('utf8'))
  const value = texts.find((text) => /^node=/i.test(text))?.slice('node='.length) ?? ''
  return NODE.test(value) ? value : null
}
