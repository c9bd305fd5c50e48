/** Which networks this machine is on. */
import { BlockList } from 'node:net'
import { networkInterfaces } from 'node:os'

/** One interface with its first IPv4 address. */
export interface Interface {
  name: string
  address: string
  /** Whether an address is one of its own network. */
  isNear: (address: string) => boolean
}

/** Those that are up; loopback where there is no other. @throws what the system says when it may not be asked */
export function listInterfaces(): Interface[] {
  const all = Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) => {
    const first = addresses.find(({ family }) => family === 'IPv4')
    return first === undefined ? [] : [{ name, ...first }]
  })
  const outward = all.filter(({ internal }) => !internal)
  return (outward.length > 0 ? outward : all).map(({ name, address, cidr }) => {
    const prefix = Number(cidr?.split('/')[1] ?? 32)
    const near = new BlockList()
    near.addSubnet(address, prefix)
    return { name, address, isNear: (other) => near.check(other) }
  })
}
