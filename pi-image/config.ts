import * as v from 'valibot'
import { flag, integer, oneOf, path, text } from '#config'

/** What a builder can choose; config.toml explains every key. */
export const imageConfig = v.strictObject({
  suite: text('the name of a Debian release', 'trixie'),
  mirror: v.optional(
    text('the URL of a Debian mirror, ending in /debian', 'http://mirror.example.org/debian'),
  ),
  kernel: v.optional(oneOf('stock', 'backports'), 'stock'),
  security_updates: v.optional(flag(false), false),
  ssh_keys: v.optional(path('keys.pub')),
  watchdog_seconds: v.optional(integer(5, 15, 15), 15),
  signing_key: v.optional(path('release.key')),
  publish_url: v.optional(text('a URL', 'https://example.org/fogmeter')),
})

/** As `loadConfig` returns it. */
export interface ImageConfig {
  suite: string
  mirror?: string | undefined
  kernel: 'stock' | 'backports'
  securityUpdates: boolean
  sshKeys?: string | undefined
  watchdogSeconds: number
  signingKey?: string | undefined
  publishUrl?: string | undefined
}
