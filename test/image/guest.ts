/** A Pi in QEMU: a machine of its own, its card a file, its network one port of ours in each direction. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { openShell, type Shell } from './shell.ts'

const relay = join(import.meta.dirname, 'relay.ts')

/** `virt` is a board of QEMU's own with a disk, `raspi3b` a Pi 3 with its card slot and a USB network. */
export type Machine = 'virt' | 'raspi3b'

export interface GuestOptions {
  machine: Machine
  /** Kernel, initramfs and device tree, as they are on the boot partition. */
  boot: { kernel: string; initramfs: string; dtb: string; cmdline: string }
  card: { path: string; format: 'raw' | 'qcow2' }
  /** A disk that says it has written what it has not: to see that the account notices. */
  lyingDisk?: boolean
  /** Port on loopback here → 1883 there. */
  brokerPort: number
  /** Addresses there → ports on loopback here. Nothing else of the network can be reached. */
  reachable: readonly { at: string; port: number }[]
  /** Its clock at power-on, e.g. `1970-01-02`; a Pi 3 has none anyway. */
  rtc?: string
  /** Where the serial log, the console's socket and QEMU's own words go. */
  dir: string
  name: string
}

export interface Guest {
  shell: Shell
  log: string
  /** QEMU's exit code; null when it was killed. */
  ended: Promise<number | null>
  /** Pulls the plug. */
  cutPower(): Promise<void>
}

/** Powers it on. The shell answers when systemd is up, which takes a minute or more. */
export async function startGuest(options: GuestOptions): Promise<Guest> {
  const { dir, name } = options
  const log = join(dir, `serial-${name}.log`)
  const console = join(dir, `${name}.console`)
  const errors = openSync(join(dir, `qemu-${name}.err`), 'a')
  const child = spawn('qemu-system-aarch64', qemuArguments(options, { log, console }), {
    // A group of its own: Ctrl-C reaches us alone, and we cut the power.
    detached: true,
    stdio: ['ignore', errors, errors],
  })
  closeSync(errors)
  const ended = once(child, 'exit').then(([code]) => code as number | null)
  const socket = await connected(child, console)
  return {
    shell: openShell(socket, ended),
    log,
    ended,
    async cutPower() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

async function connected(child: ChildProcess, path: string): Promise<Socket> {
  while (child.exitCode === null && child.signalCode === null) {
    if (existsSync(path)) {
      const socket = connect(path)
      try {
        await once(socket, 'connect')
        return socket
      } catch {
        socket.destroy() // not listening yet
      }
    }
    await pause(50)
  }
  throw new Error(`QEMU did not start; its words are beside ${path}`)
}

function qemuArguments(options: GuestOptions, paths: { log: string; console: string }): string[] {
  const { machine, boot, card, brokerPort, reachable, rtc, lyingDisk } = options
  const cache = lyingDisk ? 'unsafe' : 'writeback'
  const drive = `file=${card.path},format=${card.format},cache=${cache}`
  const network = [
    'user,id=net,restrict=on',
    `hostfwd=tcp:127.0.0.1:${brokerPort}-:1883`,
    ...reachable.map(
      ({ at, port }) => `guestfwd=tcp:${at}-cmd:${process.execPath} ${relay} ${port}`,
    ),
  ].join(',')
  const common = [
    ...words('-display none -monitor none -no-reboot'),
    // Its time passes by what it has computed: on a busy machine a start takes long, and no unit in it
    // waits in vain.
    ...words('-icount shift=1,sleep=on'),
    '-chardev',
    `socket,id=console,path=${paths.console},server=on,wait=off,logfile=${paths.log}`,
    '-netdev',
    network,
    ...words(`-kernel ${boot.kernel} -initrd ${boot.initramfs}`),
    ...(rtc === undefined ? [] : ['-rtc', `base=${rtc}`]),
  ]
  const append = (line: string, more = '') => [
    '-append',
    `${boot.cmdline} systemd.debug_shell=${line} console=${line},115200${more}`,
  ]
  if (machine === 'virt') {
    return [
      ...words('-M virt -cpu cortex-a72 -smp 2 -m 512 -serial chardev:console'),
      ...common,
      ...append('ttyAMA0'),
      ...words(`-drive if=none,id=card,${drive} -device virtio-blk-pci,drive=card`),
      ...words('-device virtio-net-pci,netdev=net,romfile= -device virtio-rng-pci'),
    ]
  }
  return [
    // Its first serial line is Bluetooth's. Its watchdog, as QEMU has it, resets when it is switched on.
    ...words(`-M raspi3b -dtb ${boot.dtb} -serial null -serial chardev:console`),
    ...common,
    ...append('ttyS1', ' systemd.watchdog_sec=0 systemd.watchdog_device=/dev/null'),
    ...words(`-drive if=sd,${drive} -usb -device usb-net,netdev=net`),
  ]
}

/** Our own paths hold no space: a temporary folder's. */
function words(line: string): string[] {
  return line.split(' ')
}
