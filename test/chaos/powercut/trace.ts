import { CodedError } from '#errors'

/** One thing a program did to its files, in the order in which the kernel did it. */
export type Op =
  | { type: 'create'; path: string }
  | { type: 'write'; path: string; offset: number; data: Uint8Array }
  | { type: 'truncate'; path: string; size: number }
  /** Returned: everything done to the file before (or to the names in the folder) is on disk. */
  | { type: 'sync'; path: string }
  | { type: 'remove'; path: string }
  /** The program was about to tell somebody something: see hooks.ts. */
  | { type: 'mark'; words: string[] }

/** What strace has to record for `parseTrace`. */
export const tracedCalls =
  'openat,pwrite64,write,ftruncate,fallocate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat'

/** Calls the disk model knows nothing of; a program that begins to make them needs a better model. */
const unmodelled = new Set(['fallocate', 'rename', 'renameat', 'renameat2'])

/**
 * The operations on files below `folder` in what `strace -f -ttt -xx -y` wrote; writes to a file
 * that ends in `.marks` become marks. Throws for a call that cannot be understood: a trace with
 * holes in it proves nothing.
 */
export function parseTrace(text: string, folder: string): Op[] {
  const wanted = hex(folder)
  const waiting = new Map<string, string>()
  const known = new Set<string>()
  const ops: Op[] = []
  for (const line of text.split('\n')) {
    const whole = join(line, waiting)
    if (whole === null || !whole.includes(wanted)) continue
    const op = parseCall(whole, known)
    if (op !== null) ops.push(...op)
  }
  return ops
}

/** Puts the halves of a call together that another thread's call came between. */
function join(line: string, waiting: Map<string, string>): string | null {
  const pid = line.slice(0, line.indexOf(' '))
  const cut = line.indexOf(' <unfinished ...>')
  if (cut >= 0) {
    waiting.set(pid, line.slice(0, cut))
    return null
  }
  const resumed = /^\d+ +[\d.]+ <\.\.\. \w+ resumed>(.*)$/.exec(line)
  if (resumed === null) return line
  const start = waiting.get(pid)
  waiting.delete(pid)
  return start === undefined ? null : start + (resumed[1] ?? '')
}

function parseCall(line: string, known: Set<string>): Op[] | null {
  const [, name = '', rest = ''] = /^\d+ +[\d.]+ (\w+)\((.*)$/.exec(line) ?? []
  if (name === '') return null // a signal or an exit
  // Killed in the middle of the call: with any luck of the disk it never was.
  const result = / = (-?\d+|\?)/.exec(rest.slice(rest.lastIndexOf(') ')))?.[1]
  if (result === undefined)
    throw new CodedError('powercut/trace', `no result in: ${line.slice(0, 200)}`)
  if (result === '?' || Number(result) < 0) return null
  if (unmodelled.has(name))
    throw new CodedError('powercut/trace', `the disk model does not know ${name}`)
  const path = fileOf(rest)
  switch (name) {
    case 'openat':
      return opened(rest, known)
    case 'write':
      return written(path, rest)
    case 'pwrite64':
      return [{ type: 'write', path, offset: lastNumber(rest), data: dataOf(rest, Number(result)) }]
    case 'ftruncate':
      return [{ type: 'truncate', path, size: lastNumber(rest) }]
    case 'fsync':
    case 'fdatasync':
      return [{ type: 'sync', path }]
    default:
      return [{ type: 'remove', path: strings(rest).at(-1) ?? '' }]
  }
}

function opened(rest: string, known: Set<string>): Op[] | null {
  // The path at the end is that of the new descriptor.
  const path = unhex(/ = \d+<([^>]*)>$/.exec(rest)?.[1] ?? '')
  if (!rest.includes('O_CREAT') || known.has(path)) return null
  known.add(path)
  return [{ type: 'create', path }]
}

function written(path: string, rest: string): Op[] | null {
  if (!path.endsWith('.marks')) return null // a log; the stores are written at offsets
  const line = Buffer.from(dataOf(rest, Infinity)).toString()
  return [{ type: 'mark', words: line.trim().split(' ') }]
}

function fileOf(rest: string): string {
  return unhex(/^\d+<([^>]*)>/.exec(rest)?.[1] ?? '')
}

function strings(rest: string): string[] {
  return [...rest.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)].map((found) => unhex(found[1] ?? ''))
}

function dataOf(rest: string, length: number): Uint8Array {
  const from = rest.indexOf('"') + 1
  const to = rest.indexOf('"', from)
  if (rest.startsWith('...', to + 1))
    throw new CodedError('powercut/trace', 'strace cut a write short')
  const data = Buffer.from(rest.slice(from, to).replaceAll('\\x', ''), 'hex')
  return data.subarray(0, Math.min(length, data.length))
}

/** The last argument of a call. */
function lastNumber(rest: string): number {
  return Number(/, (\d+)\) +=/.exec(rest.slice(-80))?.[1])
}

function hex(text: string): string {
  return [...Buffer.from(text)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')
}

function unhex(text: string): string {
  return Buffer.from(text.replaceAll('\\x', ''), 'hex').toString()
}
