/**
 * A fog node as a chroot with a disk of its own and a process namespace, so that its power can be cut: every
 * process gone at once, and of the disk what was not synced. As root.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Where the programs come from: a package on a root that is written to, or an image's read-only one. */
export type MachineKind = 'package' | 'image'

export interface Machine {
  kind: MachineKind
  /** `/` of the machine, while it is on. */
  root: string
  /** Power on: file systems, and nothing that runs yet. */
  on: () => Promise<void>
  spawn: (command: readonly string[]) => ChildProcess
  /** What it said on stdout and stderr. @throws Error when it fails */
  run: (...command: string[]) => Promise<string>
  /** Power off, in no order. */
  cut: () => Promise<void>
}

/** Of programs inside. */
export const insidePath = 'PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin'

export function sh(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

/** A new ext4 in a file. Its journal is written every second, for more states between old and new. */
export function makeDisk(path: string, mib: number): void {
  sh('truncate', '-s', `${mib}M`, path)
  sh('mke2fs', '-q', '-t', 'ext4', path)
}

export const diskOptions = 'loop,commit=1,noatime'

/** Devices of its own: nothing that is done in there, or to the folder, reaches those of this machine. */
export function mountDevices(folder: string): void {
  sh('mount', '-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', folder)
  const numbers = { null: 3, zero: 5, full: 7, random: 8, urandom: 9 } // devices.txt of Linux, major 1
  for (const [name, minor] of Object.entries(numbers))
    sh('mknod', '-m', '666', join(folder, name), 'c', '1', String(minor))
  symlinkSync('/proc/self/fd', join(folder, 'fd'))
}

/**
 * FS_IOC_SHUTDOWN (`_IOR('X', 125, __u32)`) with "no log flush": what is neither synced nor written by the
 * journal is gone, as in a power cut. Node has no ioctl.
 */
function loseWhatIsNotSynced(mountPoint: string): void {
  const program =
    'my $f = pack("L", 2); open(F, "<", $ARGV[0]) or die; ioctl(F, 0x8004587d, $f) or die $!'
  sh('perl', '-e', program, mountPoint)
}

export interface MachineOptions {
  kind: MachineKind
  /** An empty folder. */
  folder: string
  /** The disk's file. */
  disk: string
  /** The image's root, read-only. */
  lower: string
}

export function createMachine({ kind, folder, disk, lower }: MachineOptions): Machine {
  const [root, upper] = [join(folder, 'root'), join(folder, 'upper')]
  /** Where the disk is mounted. */
  const state = kind === 'package' ? root : join(root, 'var/lib/fogmeter')
  for (const path of [root, upper]) mkdirSync(path, { recursive: true })
  let power: ChildProcess | null = null
  let first = 0

  /** As in pi-image/initramfs and pi-image/root/etc/fstab. */
  function mountImage(): void {
    sh('mount', '-t', 'tmpfs', 'tmpfs', upper)
    for (const name of ['files', 'work']) mkdirSync(join(upper, name))
    const layers = `lowerdir=${lower},upperdir=${upper}/files,workdir=${upper}/work`
    sh('mount', '-t', 'overlay', '-o', layers, 'overlay', root)
    sh('mount', '-o', `${diskOptions},nosuid,nodev,noexec`, disk, state)
    const versions = join(root, 'var/lib/fogmeter-versions')
    sh('mount', '-o', 'bind,exec,nosuid,nodev', join(state, 'versions'), versions)
    sh('mount', '--bind', join(state, 'etc'), join(root, 'etc/fogmeter'))
  }

  return {
    kind,
    root,
    async on() {
      if (kind === 'package') sh('mount', '-o', diskOptions, disk, root)
      else mountImage()
      sh('mount', '-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', join(root, 'run'))
      mountDevices(join(root, 'dev'))
      const init = 'mount -t proc proc "$1" && exec sleep infinity'
      const args = ['--pid', '--fork', '--kill-child', 'sh', '-c', init, 'sh', join(root, 'proc')]
      power = spawn('unshare', args, { stdio: 'ignore' })
      while (!existsSync(join(root, 'proc/1'))) await sleep(5)
      const children = `/proc/${power.pid}/task/${power.pid}/children`
      first = Number(readFileSync(children, 'utf8').trim().split(' ')[0])
    },
    spawn(command) {
      const inside = [
        '-t',
        String(first),
        '-p',
        'chroot',
        root,
        'env',
        '-i',
        insidePath,
        ...command,
      ]
      return spawn('nsenter', inside, { stdio: ['ignore', 'pipe', 'pipe'] })
    },
    async run(...command) {
      const child = this.spawn(command)
      let said = ''
      for (const stream of [child.stdout, child.stderr])
        stream?.on('data', (bytes: Buffer) => (said += bytes.toString()))
      const [status] = (await once(child, 'close')) as [number | null]
      if (status === 0) return said.trim()
      throw new Error(`${command.join(' ')} ended with ${status}: ${said}`)
    },
    async cut() {
      if (power === null) return
      const gone = once(power, 'exit')
      // The first process of the namespace: with it all others, and it is reaped when they are.
      process.kill(first, 'SIGKILL')
      await gone
      power = null
      loseWhatIsNotSynced(state)
      sh('umount', '-R', root)
      if (kind === 'image') sh('umount', upper)
    },
  }
}
