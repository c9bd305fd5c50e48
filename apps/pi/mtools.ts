/** Files into a FAT that is not mounted, by mtools; contents go through pipes, never through files. */
import { spawnSync } from 'node:child_process'
import { closeSync, fsyncSync, openSync } from 'node:fs'
import { CodedError } from '#errors'

/** A FAT inside a file or device. */
export interface FatPlace {
  path: string
  offset: number
}

/** Nobody's ~/.mtoolsrc decides what is written here. */
const env = { ...process.env, MTOOLSRC: '/dev/null', MTOOLS_SKIP_CHECK: '1', LC_ALL: 'C' }

/** @throws pi/no-mtools, pi/fat-failed */
export function requireMtools(): void {
  run('mcopy', ['--version'])
}

/**
 * Replaces these files in `folder`, in the order given, and leaves others alone; null removes one.
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
    if (content !== null) run('mcopy', [...on(fat), '-D', 'o', '-o', '-', target], content)
    else if (exists(fat, `${folder}/${name}`)) run('mdel', [...on(fat), target])
  }
  sync(fat.path)
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
