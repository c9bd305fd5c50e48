import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'

/** What a plain clone has of a published collection of test vectors; data/README.md says whence. */
interface Excerpt {
  /** Its place in the development data set. */
  source: string
  /** The published file without what no test reads; never a case less. */
  shorten: (published: never) => unknown
}

export interface WycheproofCase {
  tcId: number
  result: string
  flags: string[]
  /** Of an HKDF case: bytes to make. */
  size?: number
  /** Of an Ed25519 case: the public key of its group. */
  pk?: string
  /** Every other field is bytes in hexadecimal. */
  [field: string]: string | number | string[] | undefined
}

export interface CctvCase {
  number: number
  key: string
  sig: string
  /** UTF-8 text. */
  msg: string
  flags: string[]
}

export interface Rfc9529 {
  traces: { title: string; entries: { step: string; name: string; form: string; hex?: string }[] }[]
  invalid: { case: string; message: string; hex: string }[]
}

export interface Suite4Sessions {
  vectors: ({ credential: string } & Record<string, string | number>)[]
}

interface Wycheproof {
  testGroups: { publicKey?: { pk: string }; tests: (WycheproofCase & { comment: string })[] }[]
}

const wycheproof = (name: string): Excerpt => ({
  source: `vectors/wycheproof/${name}_test.json`,
  shorten: ({ testGroups }: Wycheproof): WycheproofCase[] =>
    testGroups.flatMap(({ publicKey, tests }) =>
      tests.map(({ comment: _comment, ...rest }) => ({
        ...rest,
        ...(publicKey && { pk: publicKey.pk }),
      })),
    ),
})

const whole = <T>(published: T): T => published

/** By name of the file in data/, without `.json.gz`. */
export const excerpts = {
  'cctv-ed25519': { source: 'vectors/cctv-ed25519/ed25519vectors.json', shorten: whole },
  'edhoc-rfc9529': { source: 'vectors/edhoc/rfc9529-traces.json', shorten: whole },
  'edhoc-suite4-sessions': { source: 'vectors/edhoc/suite4-method0.json', shorten: whole },
  'wycheproof-chacha20-poly1305': wycheproof('chacha20_poly1305'),
  'wycheproof-ed25519': wycheproof('ed25519'),
  'wycheproof-hkdf-sha256': wycheproof('hkdf_sha256'),
  'wycheproof-x25519': wycheproof('x25519'),
} satisfies Record<string, Excerpt>

export type ExcerptName = keyof typeof excerpts

export function excerptFile(name: ExcerptName): URL {
  return new URL(`../vectors/data/${name}.json.gz`, import.meta.url)
}

export function readExcerpt(name: 'cctv-ed25519'): CctvCase[]
export function readExcerpt(name: 'edhoc-rfc9529'): Rfc9529
export function readExcerpt(name: 'edhoc-suite4-sessions'): Suite4Sessions
export function readExcerpt(name: `wycheproof-${string}` & ExcerptName): WycheproofCase[]
export function readExcerpt(name: ExcerptName): unknown
export function readExcerpt(name: ExcerptName): unknown {
  return JSON.parse(gunzipSync(readFileSync(excerptFile(name))).toString('utf8'))
}

/** The excerpt as it has to be, from the published file at `path`. */
export function makeExcerpt(name: ExcerptName, path: string): unknown {
  return excerpts[name].shorten(JSON.parse(readFileSync(path, 'utf8')) as never)
}
