import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { fromHex, toHex } from '#bytes'
import { decode } from '#cbor'
import { decodeDown, decodeUp, encodeDown, encodeUp, type Up } from '#messages'
import { transcript } from '../../apps/conformance/transcript.ts'
import { cddlRules, cddlValidator } from '../check/cddl-validate.ts'

const at = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))
const page = readFileSync(at('libs/messages/FIRMWARE.md'), 'utf8')
const cddl = at('libs/messages/fogmeter.cddl')
const matches = cddlValidator(cddl)

/** Rows of the table of messages: rule, hexadecimal, what it says. */
const examples = [...page.matchAll(/^\| `([a-z-]+)` +\| `([0-9a-f]+)` +\|/gm)].map(
  ([, rule = '', hex = '']) => ({ rule, hex }),
)

const downRules = new Set(['welcome', 'receipt', 'refused', 'resend', 'ended'])

describe('the page for firmware authors', () => {
  test('has an example of every short message', () => {
    expect(examples.map(({ rule }) => rule)).toEqual([
      'hello',
      'full-reading',
      'live',
      'welcome',
      'receipt',
      'refused',
      'resend',
      'ended',
    ])
  })

  test.each(examples)('$rule is what the CDDL says, and comes out of our encoders', (one) => {
    const bytes = fromHex(one.hex)
    const value = decode(bytes)
    expect(cddlRules(cddl)).toContain(one.rule)
    expect(matches(one.rule, value)).toBe(true)
    const again = downRules.has(one.rule)
      ? encodeDown(decodeDown(bytes))
      : encodeUp(decodeUp(bytes) as Up)
    expect(toHex(again)).toBe(one.hex)
  })

  test('shows the transcript as the program prints it', () => {
    const shown = /<!-- transcript:start -->\s+```text\n([^]*?)```/.exec(page)?.[1]
    expect(shown).toBe(transcript())
  })
})

/** Values of the transcript by name; the last one where a name comes again. */
function values(text: string): Map<string, string[]> {
  const found = new Map<string, string[]>()
  for (const [, name = '', hex = ''] of text.matchAll(
    /^(\S.*) \(\d+ bytes\)\n((?: {2}[0-9a-f]+\n?)+)/gm,
  ))
    found.set(name, [...(found.get(name) ?? []), hex.replace(/\s/g, '')])
  return found
}

test('the transcript has every value of the key schedule once', () => {
  const found = values(transcript())
  const once = ['G_X', 'G_Y', 'G_XY', 'PRK_2e', 'PRK_3e2m', 'PRK_4e3m', 'TH_2', 'TH_3', 'TH_4']
  const more = [
    'KEYSTREAM_2',
    'MAC_2',
    'MAC_3',
    'K_3',
    'IV_3',
    'K_4',
    'IV_4',
    'PRK_out',
    'PRK_exporter',
  ]
  for (const name of [...once, ...more]) expect([name, found.get(name)?.length]).toEqual([name, 1])
})
