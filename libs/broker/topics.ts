import { defaults } from '#defaults'

/** A channel id: 8 characters of base64url, drawn at random for each connection. */
const CHANNEL_ID = /^[A-Za-z0-9_-]{8}$/

/** The topics of one node; `way` + channel id is a topic. */
export interface Topics {
  up: string
  down: string
  control: string
}

export function topicsOf(node: string): Topics {
  const root = `${defaults.topicRoot}/${node}`
  return { up: `${root}/up/`, down: `${root}/dn/`, control: `${root}/ctl/` }
}

export function isChannelId(text: string): boolean {
  return CHANNEL_ID.test(text)
}

/** The channel id of a topic that starts with `prefix`, or null. */
export function channelOf(topic: string, prefix: string): string | null {
  if (!topic.startsWith(prefix)) return null
  const cid = topic.slice(prefix.length)
  return isChannelId(cid) ? cid : null
}
