/** Files into a FAT that is not mounted, by mtools; contents go through pipes, never through files. */
import { spawnSync } from 'node:child_process'
import { closeSync, fsyncSync, openSync } from 'node:fs'
import { CodedError } from '#errors'
import { overwriteClusters, type FatPlace } from './fat.ts'

/** Nobody's ~/.mtoolsrc decides what is written here. */
const env = { ...process.env, MTOOLSRC: '/dev/null', MTOOLS_SKIP_CHECK: '1', LC_ALL: 'C' }

/** @throws pi/no-mtools, pi/fat-failed */
export function requireMtools(): void {
  run('mcopy', ['--version'])
}

/** What every Pi reads first. @throws pi/no-boot-partition, pi/no-mtools */
export function requirePiBoot(fat: FatPlace): void {
  if (exists(fat, 'config.txt')) return
  throw new CodedError(
    'pi/no-boot-partition',
    `the FAT of ${fat.path} has no config.txt, so no Raspberry Pi starts from it; name the image of ` +
      'a fog node, or a card with it',
  )
}

/**
 * Replaces these files in `folder`, in the order given, and leaves others alone; null removes one. What
 * was in them is overwritten: an image gets copied, with all that lies in it.
 * On the medium when it returns. @throws pi/no-mtools, pi/fat-failed
 */
export function writeFat(
  fat: FatPlace,
  folder: string,
  files: ReadonlyMap<string, string | Uint8Array | null>,
): void {
  if (!exists(fat, folder)) run('mmd', [...on(fat), `::${folder}`])
  for (const [name, content] of files) {
    const target = `::${folder}/${name}`
    remove(fat, target)
    if (content !== null) put(fat, target, content)
  }
  sync(fat.path)
}

function remove(fat: FatPlace, target: string): void {
  const found = call('mshowfat', [...on(fat), target])
  if (found.status !== 0) return
  // "::/fogmeter/token <4-6> <9>"
  const ranges = found.stdout.toString('latin1').matchAll(/<(\d+)(?:-(\d+))?>/g)
  overwriteClusters(
    fat,
    Array.from(ranges, ([, first, last]) => [Number(first), Number(last ?? first)]),
  )
  run('mdel', [...on(fat), target])
}

/** mcopy takes a full partition for a success, and leaves an empty file. */
function put(fat: FatPlace, target: string, content: string | Uint8Array): void {
  run('mcopy', [...on(fat), '-o', '-', target], content)
  if (Buffer.from(content).equals(run('mcopy', [...on(fat), target, '-']))) return
  call('mdel', [...on(fat), target])
  const message = `${target.slice(2)} is not there as it was written; is the boot partition full?`
  throw new CodedError('pi/fat-failed', message)
}

function exists(fat: FatPlace, path: string): boolean {
  return call('mdir', [...on(fat), '-b', `::${path}`]).status === 0
}

function on({ path, offset }: FatPlace): string[] {
  return ['-i', `${path}@@${offset}`]
}

function call(program: string, args: string[], input: string | Uint8Array = '') {
  const result = spawnSync(program, args, { env, input })
  const { error } = result
  if (error === undefined) return result
  throw new CodedError(
    'pi/no-mtools',
    `${program} cannot be run (${(error as NodeJS.ErrnoException).code}); install mtools: ` +
      '"sudo apt install mtools" on Debian, "brew install mtools" on a Mac',
    { cause: error },
  )
}

function run(program: string, args: string[], input?: string | Uint8Array): Uint8Array {
  const { status, stdout, stderr } = call(program, args, input)
  if (status === 0) return stdout
  const reason = stderr.toString('utf8').trim().split('\n').at(-1) ?? ''
  throw new CodedError('pi/fat-failed', `${program} could not write the boot partition: ${reason}`)
}

function sync(path: string): void {
  const file = openSync(path, 'r+')
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}
