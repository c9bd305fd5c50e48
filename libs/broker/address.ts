/**
 * What counts as one address for the connection limit: an IPv4 address (also when written inside
 * IPv6), or the /64 network of an IPv6 address, because a household or server is given that many.
 */
export function addressKey(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)
  if (mapped?.[1] !== undefined) return mapped[1]
  if (!address.includes(':')) return address
  const [head = '', tail] = (address.split('%')[0] ?? '').split('::')
  const zeros = tail === undefined ? 0 : 8 - groups(head).length - groups(tail).length
  const all = [...groups(head), ...Array<string>(Math.max(0, zeros)).fill('0'), ...groups(tail)]
  return `${all.slice(0, 4).join(':')}::/64`
}

function groups(text: string | undefined): string[] {
  return text ? text.split(':') : []
}
