/** What a fog node answers, RFC 6762 §6 and RFC 6763 §4 to §6. */
import { AUTHORITATIVE_ANSWER, type Answer, type Packet, type Question } from 'dns-packet'
import { hostOf, instanceOf, sameName, SERVICE, SERVICES, type Advert } from './names.ts'

/** Of every record: a node that went without a word is forgotten as soon as RFC 6762 §10 likes. */
const TTL_S = 120
/** RFC 6762 §6.7: a resolver that is not one of multicast DNS shall not keep it long. */
const LEGACY_TTL_S = 10

/** Everything there is to say, at `address`; with a `ttl` of 0, goodbye (RFC 6762 §10.1). */
export function announcementOf(advert: Advert, address: string, ttl = TTL_S): Packet {
  const records = recordsOf(advert, address, ttl, true)
  return { type: 'response', flags: AUTHORITATIVE_ANSWER, answers: records }
}

/** Whether the questions of `query` concern this node, and the answer is not known already. */
export function concerns(query: Packet, advert: Advert): boolean {
  if (query.type === 'response') return false
  const { questions = [], answers = [] } = query
  const asked = questions.filter((question) => isOurs(question, advert))
  return asked.some(({ name }) => !(sameName(name, SERVICE) && isKnown(answers, advert)))
}

/** For a resolver that asks from another port than 5353, RFC 6762 §6.7. */
export function legacyAnswer(query: Packet, advert: Advert, address: string): Packet {
  const questions = (query.questions ?? []).filter((question) => isOurs(question, advert))
  const answers = recordsOf(advert, address, LEGACY_TTL_S, false)
  const id = query.id ?? 0
  return { type: 'response', id, flags: AUTHORITATIVE_ANSWER, questions, answers }
}

function isOurs({ name, type }: Question, advert: Advert): boolean {
  const wants = (...types: string[]) => [...types, 'ANY'].includes(type)
  if (sameName(name, SERVICE) || sameName(name, SERVICES)) return wants('PTR')
  if (sameName(name, instanceOf(advert))) return wants('SRV', 'TXT')
  return sameName(name, hostOf(advert)) && wants('A')
}

/** RFC 6762 §7.1: who knows it, and will for half its time, is not told again. */
function isKnown(answers: readonly Answer[], advert: Advert): boolean {
  return answers.some(
    (record) =>
      record.type === 'PTR' &&
      sameName(record.name, SERVICE) &&
      sameName(record.data, instanceOf(advert)) &&
      (record.ttl ?? 0) >= TTL_S / 2,
  )
}

/** `flush` marks what is this node's alone, RFC 6762 §10.2. */
function recordsOf(advert: Advert, address: string, ttl: number, flush: boolean): Answer[] {
  const [instance, host] = [instanceOf(advert), hostOf(advert)]
  const own = { ttl, flush }
  return [
    { type: 'PTR', name: SERVICE, ttl, data: instance },
    { type: 'PTR', name: SERVICES, ttl, data: SERVICE },
    { type: 'SRV', name: instance, ...own, data: { target: host, port: advert.port } },
    { type: 'TXT', name: instance, ...own, data: ['txtvers=1', `node=${advert.node}`] },
    { type: 'A', name: host, ...own, data: address },
  ]
}
