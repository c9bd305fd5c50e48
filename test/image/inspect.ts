/** Looks around in a running node: what the image promises, asked of the machine itself. */
import type { Machine } from './guest.ts'
import type { Shell } from './shell.ts'

interface Look {
  what: string
  command: string
  /** Says what is wrong with the answer, or null. */
  wrong: (said: string) => string | null
  only?: Machine
}

const looks: readonly Look[] = [
  {
    what: 'the root is a read-only squashfs under a memory overlay',
    command: 'findmnt -n -o FSTYPE / && findmnt -n -o FSTYPE,OPTIONS /run/root/lower',
    wrong: (said) => (/^overlay\s+squashfs +ro,/.test(said) ? null : said),
  },
  {
    what: 'nothing listens to the network but MQTT, and mDNS for who looks for it',
    command: "ss -H -tuln | awk '{ print $1, $5 }'",
    wrong: (said) => {
      const local = /(127\.0\.0\.\d+|\[::1\]|127\.0\.0\.\d+%lo):\d+$/
      // DHCP's client takes its answers here; what else comes there is not let in.
      const dhcp = /^udp \S+:(68|546)$/
      const open = said
        .split('\n')
        .filter((line) => line.startsWith('tcp') || line.startsWith('udp'))
        .filter((line) => !local.test(line) && !dhcp.test(line))
      const expected = ['tcp 0.0.0.0:1883', 'udp 224.0.0.251:5353']
      return [...new Set(open)].toSorted().join() === expected.join() ? null : said
    },
  },
  {
    what: 'the firewall drops what is neither MQTT nor mDNS',
    command: 'nft list chain inet fogmeter input',
    wrong: (said) =>
      said.includes('policy drop') &&
      said.includes('tcp dport { 1883, 8883 } accept') &&
      said.includes('ip daddr 224.0.0.251 udp dport 5353 accept')
        ? null
        : said,
  },
  {
    what: 'nobody has a password, and nobody can log in',
    command:
      "cut -d: -f2 /etc/shadow | sort -u; systemctl list-units --no-legend --type=service,socket '*getty*' 'ssh*'",
    wrong: (said) => (said === '!*' ? null : said),
  },
  {
    what: 'the data partition has grown to the end of the card',
    command: 'df --output=size -k /var/lib/fogmeter | tail -n 1',
    wrong: (said) => (Number(said) > 1_000_000 ? null : `${said} KiB`),
  },
  {
    what: 'the journal is in memory',
    command: 'ls -d /run/log/journal /var/log/journal 2>/dev/null || true',
    wrong: (said) => (said === '/run/log/journal' ? null : said),
  },
  {
    what: 'the clock is not before the image was built',
    command: 'date +%s; stat -c %Y /usr/lib/clock-epoch',
    wrong: (said) => {
      const [now = 0, built = Infinity] = said.split('\n').map(Number)
      return now >= built ? null : `now ${now}, built ${built}`
    },
  },
  {
    // Not that it feeds it: QEMU's resets the machine when it is switched on (guest.ts).
    what: "the Pi's watchdog is there, and systemd is told to feed it",
    command:
      'cat /sys/class/watchdog/watchdog0/identity; systemd-analyze cat-config systemd/system.conf | grep ^RuntimeWatchdogSec',
    wrong: (said) =>
      /^Broadcom BCM2835 Watchdog timer\nRuntimeWatchdogSec=15s$/.test(said) ? null : said,
    only: 'raspi3b',
  },
  {
    what: 'no unit failed',
    command: 'systemctl list-units --failed --no-legend',
    wrong: (said) => (said === '' ? null : said),
  },
]

/** Every promise that does not hold, in words. */
export async function inspect(
  shell: Shell,
  machine: Machine,
  say: (text: string) => void,
): Promise<string[]> {
  const problems: string[] = []
  for (const { what, command, wrong, only } of looks) {
    if (only !== undefined && only !== machine) continue
    const problem = wrong(await shell.run(command))
    if (problem === null) say(`  ${what}`)
    else problems.push(`not so in the guest: ${what}: ${problem}`)
  }
  return problems
}
