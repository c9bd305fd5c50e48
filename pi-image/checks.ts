/** What can be wrong with an image that no emulator notices: QEMU skips the Pi's own boot stage. */
import type { ImageFacts } from './facts.ts'
import type { Model } from './models.ts'

/** Every disagreement in words; none when the image is as it should be. */
export function checkImage(facts: ImageFacts, models: readonly Model[]): string[] {
  return [
    ...checkConfig(facts),
    ...models.flatMap((model) => checkModel(facts, model)),
    ...checkRoot(facts),
    ...checkMounts(facts),
  ]
}

/** Keys of config.txt that name files; https://www.raspberrypi.com/documentation/computers/config_txt.html */
const fileKeys = ['kernel', 'device_tree', 'start_file', 'fixup_file', 'armstub']

function checkConfig({ configTxt, bootFiles }: ImageFacts): string[] {
  const lines = configTxt.split('\n').map((line) => line.replace(/#.*/, '').trim())
  const named = lines.flatMap((line) => {
    const initramfs = /^initramfs\s+(\S+)/.exec(line)?.[1]
    const [key = '', value = ''] = line.split(/=(.*)/)
    if (initramfs !== undefined) return [initramfs]
    if (key === 'dtoverlay' || key === 'device_tree_overlay') {
      const name = value.split(',')[0] ?? ''
      return name === '' ? [] : [`overlays/${name}.dtbo`]
    }
    return fileKeys.includes(key.trim()) && value.trim() !== '' ? [value.trim()] : []
  })
  const problems = missing(named, bootFiles, 'config.txt names')
  for (const setting of ['arm_64bit=1', 'upstream_kernel=1'])
    if (!lines.includes(setting)) problems.push(`config.txt does not say ${setting}`)
  if (!named.some((name) => name.startsWith('vmlinuz'))) problems.push('config.txt names no kernel')
  if (!named.some((name) => name.startsWith('initrd')))
    problems.push('config.txt names no initramfs')
  return problems
}

function checkModel({ bootFiles }: ImageFacts, { name, dtb, firmware }: Model): string[] {
  return missing([dtb, ...firmware], bootFiles, `${name} needs`)
}

function missing(names: readonly string[], files: readonly string[], who: string): string[] {
  return names
    .filter((name) => !files.includes(name))
    .map((name) => `${who} ${name}, which is not on the boot partition`)
}

function checkRoot({ cmdline, diskId, squashfs, partitions }: ImageFacts): string[] {
  const problems: string[] = []
  const lines = cmdline.trimEnd().split('\n')
  if (lines.length !== 1)
    problems.push('cmdline.txt has more than one line; the firmware reads one')
  const options = (lines[0] ?? '').split(' ')
  if (!options.includes(`root=PARTUUID=${diskId}-02`))
    problems.push(`cmdline.txt does not say root=PARTUUID=${diskId}-02, the second partition`)
  if (!options.includes('rootfstype=squashfs') || !squashfs)
    problems.push('cmdline.txt and the second partition do not agree that the root is a squashfs')
  if (!options.includes('ro')) problems.push('cmdline.txt does not mount the root read-only')
  if (!options.includes('rootwait')) problems.push('cmdline.txt does not wait for the card')
  if (partitions[0]?.type !== 0x0c) problems.push('the first partition is not FAT32 by its type')
  return problems
}

function checkMounts({ fstab, bootLabel, dataLabel }: ImageFacts): string[] {
  const mounts = fstab
    .split('\n')
    .filter((line) => /^[^#\s]/.test(line))
    .map((line) => line.split(/\s+/))
  const labels = mounts.flatMap(([what = '']) => /^LABEL=(.+)/.exec(what)?.[1] ?? [])
  const problems = labels
    .filter((label) => label !== bootLabel && label !== dataLabel)
    .map((label) => `fstab mounts LABEL=${label}, and no partition is called so`)
  for (const label of [bootLabel, dataLabel])
    if (!labels.includes(label)) problems.push(`fstab does not mount the partition ${label}`)
  for (const [what = '', , , options = ''] of mounts)
    if (!options.split(',').includes('nofail'))
      problems.push(`fstab: without nofail, a broken ${what} stops the boot with nobody there`)
  return problems
}
