import { execFileSync } from 'node:child_process'
import { rmSync, truncateSync, writeFileSync } from 'node:fs'

const SECTORS = 131_072
const START = 2_048

/** A disk of 66 MB as a Pi's image has it: a FAT in its first partition, at 1 MiB. */
export function makeImage(path: string, label: 'dos' | 'gpt' = 'dos'): void {
  writeFileSync(path, '')
  truncateSync(path, (SECTORS + 2 * START) * 512)
  const type = label === 'dos' ? 'c' : 'EBD0A0A2-B9E5-4433-87C0-68B6B72699C7'
  const table = `label: ${label}\nstart=${START},size=${SECTORS},type=${type}\n`
  execFileSync('sfdisk', ['-q', path], { input: table })
  const fat = `${path}.fat`
  rmSync(fat, { force: true })
  execFileSync('mkfs.vfat', ['-n', 'BOOT', '-C', fat, String(SECTORS / 2)], { stdio: 'ignore' })
  execFileSync('dd', [`if=${fat}`, `of=${path}`, 'bs=1M', 'seek=1', 'conv=notrunc,sparse'], {
    stdio: 'ignore',
  })
  rmSync(fat)
}
