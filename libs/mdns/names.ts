/** The names a fog node's service has, RFC 6763 §4.1. */

/** RFC 6763 §7. */
export const SERVICE = '_fogmeter._tcp.local'
/** RFC 6763 §9: what lists the kinds of service there are. */
export const SERVICES = '_services._dns-sd._udp.local'

/** What a fog node says of itself to its network. */
export interface Advert {
  node: string
  /** Of its broker, plain MQTT. */
  port: number
  /**
   * Random, of this start: it makes instance and host name unique, so that there is nothing to probe for
   * (RFC 6762 §8.1), and nobody can push a node off its name by claiming it too.
   */
  unique: string
}

/** A dot would end a label for the decoder; the name itself is in the TXT record. */
export function instanceOf({ node, unique }: Advert): string {
  return `${node.replaceAll('.', '-')} ${unique}.${SERVICE}`
}

export function hostOf({ unique }: Advert): string {
  return `fogmeter-${unique}.local`
}

/** RFC 1035 §2.3.3: names are the same whatever their case. */
export function sameName(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase()
}
