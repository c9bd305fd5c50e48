import { createInterface } from 'node:readline/promises'
import type { Command } from 'commander'
import { claimCode, fingerprintOfWords, parseCode } from '#enrolment'
import { CodedError } from '#errors'
import type { EnrolmentList } from './enrolments.ts'
import { addSourceOptions } from './queries/options.ts'
import { print, printJson, run, say } from './queries/output.ts'
import type { SourceOptions } from './queries/source.ts'
import { moment } from './queries/text.ts'

interface ClaimFlags extends SourceOptions {
  name?: string
  replace?: boolean
  json?: boolean
}

interface SignFlags extends SourceOptions {
  authority: string
  group: string
  yes?: boolean
  json?: boolean
}

/** `fog claim`, `fog enrolments`, `fog sign`: new nodes and who they are. */
export function addClaimCommands(fog: Command): void {
  const claim = fog
    .command('claim')
    .description('give the fog node that shows this code its name')
    .argument('<code...>', 'the eight words it shows; fewer, to choose from those that wait')
    .option('--name <name>', 'the name it gets (default: the one it asks for)')
    .option('--replace', 'revoke earlier credentials of this name')
    .option('--json', 'print the result as JSON')
  addSourceOptions(claim)
  claim.action((words: string[], flags: ClaimFlags) => run(() => claimNode(words, flags)))

  const list = fog
    .command('enrolments')
    .description('fog nodes that were enrolled, that wait, and that were refused')
    .option('--json', 'print them as JSON')
  addSourceOptions(list)
  list.action((flags: SourceOptions & { json?: boolean }) => run(() => listEnrolments(flags)))

  const sign = fog
    .command('sign')
    .description('on the machine of the authority: sign what was approved at a cloud without one')
    .option('--authority <folder>', 'the authority', 'authority')
    .option('--group <group>', 'the group of that cloud', 'default')
    .option('--yes', 'do not ask about each')
    .option('--json', 'print the names as JSON')
  addSourceOptions(sign)
  sign.action((flags: SignFlags) => run(() => signApproved(flags)))
}

async function claimNode(words: string[], flags: ClaimFlags): Promise<void> {
  const { openEnrolments } = await import('./enrolments.ts')
  const { approve, list } = openEnrolments(flags)
  const typed = parseCode(words.join(' '))
  const known = (await list()).waiting.filter(({ code }) => startsWith(code, typed))
  const whole = fingerprintOfWords(typed) ?? (await compared(known, typed))
  const code = claimCode(whole)
  const name = flags.name ?? known.find((one) => one.code === code)?.name ?? null
  if (name === null) throw new CodedError('cli/usage', 'say what it is called: --name FN-01')
  const approved = await approve({ id: whole, name, replace: flags.replace ?? false })
  const waits = known.some((one) => one.code === code)
  if (flags.json) return printJson({ ...approved, code, waits })
  print(`The fog node that shows ${code} is "${name}" once it asks again, within a minute.`)
  if (!waits) say('No node with this code has asked here yet: are all eight words right?')
}

function startsWith(code: string, typed: readonly string[]): boolean {
  return `${code}-`.startsWith(`${typed.join('-')}-`)
}

/** Two words can be had by trying: only somebody who looks at the Pi can say that it is this one. */
async function compared(known: EnrolmentList['waiting'], typed: string[]): Promise<Uint8Array> {
  const [only, ...others] = known
  const start = typed.join('-')
  if (only === undefined)
    throw new CodedError(
      'cli/not-found',
      `no node that waits has a code beginning with ${start}; type all eight words, or look whether ` +
        'the node reaches this cloud',
    )
  if (others.length > 0)
    throw new CodedError(
      'cli/usage',
      `${known.length} nodes that wait have a code beginning with ${start}, which is no accident ` +
        'from the second word on: type all eight words as the node shows them',
    )
  say(`A node at ${only.origin}, last heard of at ${moment(only.last)} UTC, has the code`)
  say(`  ${only.code.replaceAll('-', '  ')}`)
  await confirm('Does the node show exactly these eight words?')
  const whole = fingerprintOfWords(parseCode(only.code))
  if (whole === null) throw new CodedError('cli/not-a-cloud', 'the cloud shows a code that is none')
  return whole
}

async function confirm(question: string): Promise<void> {
  if (!process.stdin.isTTY)
    throw new CodedError('cli/usage', 'nobody here can compare them: type all eight words')
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const answer = await lines.question(`${question} [y/N] `)
    if (/^y(es)?$/i.test(answer.trim())) return
  } finally {
    lines.close()
  }
  throw new CodedError('cli/declined', 'nothing was changed')
}

async function listEnrolments(flags: SourceOptions & { json?: boolean }): Promise<void> {
  const { openEnrolments } = await import('./enrolments.ts')
  const { items, waiting, refused } = await openEnrolments(flags).list()
  if (flags.json) return printJson({ items, waiting, refused })
  for (const { name, accepted, signed } of items)
    print(`${name}: ${signed ? 'enrolled' : 'approved, not signed yet'}, ${moment(accepted)} UTC`)
  for (const { code, name, origin } of waiting)
    print(`waits: ${code} at ${origin}${name === null ? '' : `, would like to be "${name}"`}`)
  for (const { reason, name, origin, time } of refused)
    print(`refused: ${name ?? 'no name'} at ${origin}, ${moment(time)} UTC: ${reason}`)
  if (items.length + waiting.length + refused.length === 0)
    say('no fog node has asked: "fogmeter pi prepare" makes a card for one')
}

async function signApproved(flags: SignFlags): Promise<void> {
  const { openEnrolments } = await import('./enrolments.ts')
  const { enrolKey } = await import('#identity')
  const { fromBase64Url } = await import('#bytes')
  const { list, deliver } = openEnrolments(flags)
  const unsigned = (await list()).items.filter(({ signed }) => !signed)
  for (const { name, code, publicKey, replace } of unsigned) {
    say(`"${name}", whose node shows ${code}`)
    if (flags.yes !== true) await confirm('Sign its credential?')
    const options = { publicKey: fromBase64Url(publicKey), replace, group: flags.group }
    await deliver(enrolKey(flags.authority, 'fog', name, options))
  }
  const names = unsigned.map(({ name }) => name)
  if (flags.json) return printJson(names)
  print(names.length === 0 ? 'Nothing waits for a signature.' : `Signed: ${names.join(', ')}`)
}
