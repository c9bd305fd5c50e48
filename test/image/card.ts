/** The card of a Pi as a file: made from the image, and read after power-off. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { partition } from '../../pi-image/facts.ts'
import type { GuestOptions, Machine } from './guest.ts'

/** A card slot takes a power of two; the data partition has to grow into it. */
const CARD_BYTES = 2 ** 31

export interface Card {
  /** For QEMU. */
  drive: GuestOptions['card']
  boot: GuestOptions['boot']
  /** The card as `pi prepare` sees it, before it is in the machine. */
  image: string
  /** Puts it into the machine: from now on what is written goes to the drive. */
  insert(): void
  /** Copies a file of the data partition to `to`; the machine is off. */
  read(path: string, to: string): void
}

/**
 * `virt` gets a qcow2 on top: what QEMU was not told to flush is not in it when QEMU is killed, which is
 * how a disk with a cache behaves. A card slot has no such command; there it is a plain file.
 */
export function makeCard(image: string, machine: Machine, dir: string): Card {
  const raw = join(dir, 'card.img')
  execFileSync('cp', ['--sparse=always', image, raw])
  truncateSync(raw, CARD_BYTES)
  const layered = join(dir, 'card.qcow2')
  const boot = readBoot(raw, join(dir, 'boot'))
  return {
    drive: machine === 'virt' ? { path: layered, format: 'qcow2' } : { path: raw, format: 'raw' },
    boot,
    image: raw,
    insert() {
      if (machine === 'virt')
        execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', raw, '-F', 'raw', layered])
    },
    read(path, to) {
      const flat = machine === 'virt' ? join(dir, 'after.img') : raw
      if (machine === 'virt') execFileSync('qemu-img', ['convert', '-O', 'raw', layered, flat])
      rmSync(to, { force: true })
      const { start } = partition(flat, 3)
      execFileSync('debugfs', ['-R', `dump ${path} ${to}`, `${flat}?offset=${start}`], {
        stdio: 'ignore',
      })
    },
  }
}

function readBoot(raw: string, folder: string): GuestOptions['boot'] {
  mkdirSync(folder)
  const fat = `${raw}@@${partition(raw, 1).start}`
  for (const name of ['vmlinuz-*', 'initrd.img-*', 'bcm2837-rpi-3-b.dtb', 'cmdline.txt'])
    execFileSync('mcopy', ['-i', fat, `::${name}`, folder])
  const files = readdirSync(folder)
  const found = (prefix: string): string =>
    join(folder, files.find((name) => name.startsWith(prefix)) ?? prefix)
  return {
    kernel: found('vmlinuz-'),
    initramfs: found('initrd.img-'),
    dtb: found('bcm2837'),
    cmdline: execFileSync('cat', [found('cmdline')], { encoding: 'utf8' })
      .trim()
      .replace('console=tty0 console=serial0,115200 ', '')
      .replace(' quiet', ''), // the serial log is to tell where a start came to an end
  }
}
