import { execFileSync } from 'node:child_process'
import { rmSync, truncateSync, writeFileSync } from 'node:fs'

const SECTORS = 131_072
const START = 2_048

/** A disk of 66 MB as a Pi's image has it: a FAT in its first partition, at 1 MiB, and what a Pi reads. */
export function makeImage(path: string, label: 'dos' | 'gpt' = 'dos', bits: 16 | 32 = 16): void {
  writeFileSync(path, '')
  truncateSync(path, (SECTORS + 2 * START) * 512)
  const type = label === 'dos' ? 'c' : 'EBD0A0A2-B9E5-4433-87C0-68B6B72699C7'
  const table = `label: ${label}\nstart=${START},size=${SECTORS},type=${type}\n`
  execFileSync('sfdisk', ['-q', path], { input: table })
  const fat = `${path}.fat`
  rmSync(fat, { force: true })
  const options = ['-F', String(bits), '-n', 'BOOT', '-C', fat, String(SECTORS / 2)]
  execFileSync('mkfs.vfat', options, { stdio: 'ignore' })
  execFileSync('dd', [`if=${fat}`, `of=${path}`, 'bs=1M', 'seek=1', 'conv=notrunc,sparse'], {
    stdio: 'ignore',
  })
  rmSync(fat)
  const boot = { input: 'arm_64bit=1\n' }
  execFileSync('mcopy', ['-i', `${path}@@${START * 512}`, '-', '::config.txt'], boot)
}
