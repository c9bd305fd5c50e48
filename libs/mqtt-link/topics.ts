import { defaults } from '#defaults'

/** `fm/1/<node>/<way>/`: up, towards the responder; dn, back; ctl, from the responder to its broker. */
export function topicPrefix(node: string, way: 'up' | 'dn' | 'ctl'): string {
  return `${defaults.topicRoot}/${node}/${way}/`
}

const CHANNEL_ID = /^[A-Za-z0-9_-]{8}$/

/** The channel id at the end of a topic; null when the topic is not one of ours. */
export function channelOf(topic: string, prefix: string): string | null {
  if (!topic.startsWith(prefix)) return null
  const cid = topic.slice(prefix.length)
  return CHANNEL_ID.test(cid) ? cid : null
}
