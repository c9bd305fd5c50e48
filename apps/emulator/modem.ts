import { openConnection, topicPrefix } from '#mqtt-link'
import type { Modem } from './surroundings.ts'

/** Where the broker is, as `openConnection` of #mqtt-link takes it. */
export interface Access {
  url: string
  ca?: string
  username?: string
  password?: string
}

/** The part of a chip that is no firmware of ours: TCP and MQTT, as its modem and lwIP have them. */
export function mqttModem(access: Access, node: string): Modem {
  return {
    connect(channelId, events) {
      let ended = false
      const topic = topicPrefix(node, 'up') + channelId
      const unlessEnded = (run: () => void) => {
        if (!ended) run()
      }
      const connection = openConnection(
        { ...access, clientId: channelId, topicFilter: topicPrefix(node, 'dn') + channelId },
        {
          up: () => unlessEnded(() => events.up()),
          message(_topic, payload, done) {
            unlessEnded(() => events.message(Uint8Array.from(payload)))
            done()
          },
          drain: () => undefined,
          down: () => unlessEnded(() => events.down()),
        },
      )
      return {
        publish: (frame) => void connection.publish(topic, frame),
        close() {
          ended = true
          void connection.close()
        },
        drop() {
          ended = true
          connection.drop()
        },
      }
    },
  }
}
