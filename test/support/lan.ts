/** A local network of machines that are no machines: network namespaces on a bridge of their own. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'

export interface Machine {
  /** What runs `program` on this machine. */
  command(program: string, ...args: string[]): [string, string[]]
  /** Gives it another address in 10.77.0.0/24, as DHCP may at any time. */
  move(host: number): void
}

export interface Lan {
  machine(name: string, host: number): Promise<Machine>
  close(): Promise<void>
}

const probe = [
  '--map-root-user',
  '--net',
  'sh',
  '-c',
  'ip link add hub type bridge && ip link add cable type veth',
]
/** Empty where such a network can be made, else why not, for the title of a test. */
export const noLan = spawnSync('unshare', probe).status === 0 ? '' : ' (skipped: no namespaces)'

/** Nothing of it reaches the machine's own network. Programs inside see the machine's files. */
export async function createLan(): Promise<Lan> {
  const holders: ChildProcess[] = []
  const space = ['--map-root-user', '--net']
  const hub = await hold(['unshare', ...space], 'ip link add hub type bridge && ip link set hub up')

  /** A process whose namespaces live until it is told to end. */
  async function hold([program = '', ...args]: string[], first: string): Promise<ChildProcess> {
    const script = `ip link set lo up && ${first} && echo there && exec cat`
    const child = spawn(program, [...args, 'sh', '-c', script], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    holders.push(child)
    await once(child.stdout, 'data')
    return child
  }

  return {
    async machine(name, host) {
      const inHub = within(hub)
      const child = await hold([...inHub, 'unshare', '--net'], 'true')
      const cable = ['type', 'veth', 'peer', 'name', 'eth0', 'netns', String(child.pid)]
      run([...inHub, 'ip', 'link', 'add', name, 'master', 'hub', ...cable])
      run([...inHub, 'ip', 'link', 'set', name, 'up'])
      const inside = within(child)
      const move = (to: number) => {
        run([...inside, 'ip', 'address', 'flush', 'dev', 'eth0'])
        run([...inside, 'ip', 'address', 'add', `10.77.0.${to}/24`, 'dev', 'eth0'])
        run([...inside, 'ip', 'link', 'set', 'eth0', 'up'])
      }
      move(host)
      const [enter = '', ...rest] = inside
      return { command: (program, ...args) => [enter, [...rest, program, ...args]], move }
    },
    async close() {
      const ended = holders.map((child) => once(child, 'exit'))
      for (const { stdin } of holders.toReversed()) stdin?.end()
      await Promise.all(ended)
    },
  }
}

function within({ pid }: ChildProcess): string[] {
  return ['nsenter', '--target', String(pid), '--user', '--preserve-credentials', '--net']
}

function run([program = '', ...args]: string[]): void {
  const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${args.join(' ')}: ${stderr}`)
}
