/** A fog node makes itself known on every network it is on, for as long as it runs. */
import { toHex } from '#bytes'
import type { Clock, Random } from '#ports'
import { joinGroup } from './group.ts'
import { listInterfaces, type Interface } from './interfaces.ts'
import { createMember, type Member, type MemberOptions } from './member.ts'
import { reasonOf } from './reason.ts'

export interface AnnounceOptions {
  node: string
  /** Of the broker's plain MQTT listener … */
  port: number
  /** … and whether that listens at an address of this machine. */
  covers: (address: string) => boolean
  clock: Clock
  random: Random
  log: {
    info(data: object, message: string): void
    warn(data: object, message: string): void
  }
  /** A test's own network. */
  network?: { list: () => Interface[]; join: MemberOptions['join'] }
}

export interface Announcement {
  /** Looks at the interfaces again; it does so by itself every ten seconds. */
  refresh(): void
  /** Says goodbye. */
  close(): Promise<void>
}

const LOOK_EVERY_MS = 10_000

/** Never throws: a node that cannot be found is still there. What is in the way is logged, once. */
export function announceFog(options: AnnounceOptions): Announcement {
  const { clock, random, covers, log, node, port } = options
  const { list, join } = options.network ?? { list: listInterfaces, join: joinGroup }
  const advert = { node, port, unique: toHex(random(6)) }
  const members = new Map<string, Member>()
  let told: string | null = null

  function refresh(): void {
    try {
      const now = new Map(list().map((at) => [`${at.name} ${at.address}`, at]))
      for (const [key, member] of members) if (!now.has(key)) leave(key, member)
      for (const [key, at] of now) if (!members.has(key) && covers(at.address)) enter(key, at)
    } catch (error) {
      tell(error)
    }
  }

  function enter(key: string, at: Interface): void {
    const onJoined = () => {
      told = null
      const where = { interface: at.name, address: at.address }
      log.info({ event: 'announced', node, port, ...where }, 'meters can find this node by mDNS')
    }
    const onFailed = (error: unknown) => {
      members.delete(key)
      tell(error)
    }
    members.set(key, createMember({ at, advert, clock, random, join, onJoined, onFailed }))
  }

  function leave(key: string, member: Member): void {
    members.delete(key)
    void member.leave()
  }

  function tell(error: unknown): void {
    const { code, advice } = reasonOf(error)
    if (code !== told) log.warn({ code: 'mdns/closed', reason: code, advice }, 'not found by mDNS')
    told = code
  }

  const timer = setInterval(refresh, LOOK_EVERY_MS)
  refresh()
  return {
    refresh,
    async close() {
      clearInterval(timer)
      await Promise.all([...members.values()].map((member) => member.leave()))
    },
  }
}
