/** What a machine says about itself before anything is changed on it, and what stands in the way. */

export interface Facts {
  /** As dpkg calls it; empty where there is no dpkg. */
  architecture: string
  /** os-release(5). */
  os: string
  osLike: string
  osVersion: string
  /** Where programs and stores go, in KiB. */
  freeKib: number
  clockS: number
  /** Root, or by sudo without a password. */
  root: boolean
  systemd: boolean
  /** The node it is configured as; empty when it is none. */
  node: string
  /** Digest of the authority it trusts; empty when there is none. */
  authority: string
}

/** A POSIX script; each line of its answer is KEY=value. */
export const LOOK = `
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
echo "architecture=$(dpkg --print-architecture 2>/dev/null)"
( . /etc/os-release 2>/dev/null; echo "os=$ID"; echo "osLike=$ID_LIKE"; echo "osVersion=$VERSION_ID" )
echo "freeKib=$(df -Pk /usr /var 2>/dev/null | awk 'NR > 1 { print $4 }' | sort -n | head -n 1)"
echo "clockS=$(date +%s)"
echo "root=$(as_root true 2>/dev/null && echo 1)"
echo "systemd=$([ -d /run/systemd/system ] && echo 1)"
echo "node=$([ -e /etc/fogmeter/agent.toml ] && sed -n 's/^node = "\\(.*\\)"/\\1/p' /etc/fogmeter/broker.toml 2>/dev/null)"
echo "authority=$(sha256sum /etc/fogmeter/authority.pub 2>/dev/null | cut -d ' ' -f 1)"
`

/** The package unpacked, and a store that has begun to grow. */
const LEAST_KIB = 400_000
/** Debian 12: what the bundled Node needs of the C library. */
const LEAST_DEBIAN = 12
/** Certificates and logs bear this; the network sets it right later. */
const MOST_CLOCK_S = 300

export function parseFacts(text: string): Facts {
  const values = new Map(text.split('\n').map((line) => split(line)))
  const of = (key: keyof Facts) => values.get(key) ?? ''
  return {
    architecture: of('architecture'),
    os: of('os'),
    osLike: of('osLike'),
    osVersion: of('osVersion'),
    freeKib: Number(of('freeKib')),
    clockS: Number(of('clockS')),
    root: of('root') === '1',
    systemd: of('systemd') === '1',
    node: of('node'),
    authority: of('authority'),
  }
}

function split(line: string): [string, string] {
  const at = line.indexOf('=')
  return [line.slice(0, at), line.slice(at + 1).trim()]
}

/** Everything that is wrong, each with what to do; empty when nothing is. */
export function obstacles(
  facts: Facts,
  wanted: { architecture: string; fog: string; nowS: number },
): string[] {
  return [
    ...system(facts, wanted.architecture),
    ...(facts.freeKib >= LEAST_KIB
      ? []
      : [`only ${Math.round(facts.freeKib / 1_000)} MB are free, ${LEAST_KIB / 1_000} are needed`]),
    ...clock(facts.clockS - wanted.nowS),
    ...(facts.root
      ? []
      : ['sudo asks for a password there: log in as root, or allow it without (sudo visudo)']),
    ...(facts.node === '' || facts.node === wanted.fog
      ? []
      : [`it is fog node "${facts.node}" already: say --fog ${facts.node}, or purge it first`]),
  ]
}

function system({ architecture, os, osLike, osVersion, systemd }: Facts, wanted: string): string[] {
  if (architecture === '') return ['it has no dpkg: Raspberry Pi OS or Debian is needed']
  const old = os === 'debian' && Number.parseInt(osVersion, 10) < LEAST_DEBIAN
  const foreign = os !== 'debian' && !osLike.split(' ').includes('debian')
  const bits = architecture === 'armhf' ? '; flash the 64-bit Raspberry Pi OS' : ''
  return [
    ...(architecture === wanted
      ? []
      : [`it is ${architecture} and the package is for ${wanted}${bits}`]),
    ...(old ? [`its Debian ${osVersion} is older than ${LEAST_DEBIAN}`] : []),
    ...(foreign ? [`it runs ${os} ${osVersion}, not Debian or a relative`] : []),
    ...(systemd ? [] : ['systemd is not running there']),
  ]
}

function clock(offS: number): string[] {
  if (Math.abs(offS) <= MOST_CLOCK_S) return []
  const which = offS > 0 ? 'ahead' : 'behind'
  return [`its clock is ${Math.abs(offS)} s ${which}; run there: sudo timedatectl set-ntp true`]
}
