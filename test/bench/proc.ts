/** What the kernel counts for a process, from /proc (proc(5)). */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))

/** User and system time of a process with all its threads, in µs; steps of 10 ms. */
export function cpuUsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The name in parentheses may hold spaces; utime and stime are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return ((Number(fields[11]) + Number(fields[12])) / ticksPerSecond) * 1e6
}

/** Resident memory in bytes. */
export function rssOf(pid: number): number {
  return fieldOf(`/proc/${pid}/status`, /^VmRSS:\s+(\d+) kB$/m) * 1024
}

/** Bytes a process had sent to storage so far; files on tmpfs do not count. */
export function writtenBytesOf(pid: number): number {
  return fieldOf(`/proc/${pid}/io`, /^write_bytes: (\d+)$/m)
}

/** CPU time of this process, in µs. */
export function ownCpuUs(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

function fieldOf(path: string, pattern: RegExp): number {
  const found = pattern.exec(readFileSync(path, 'utf8'))
  if (found === null) throw new Error(`${path} has no ${pattern.source}`)
  return Number(found[1])
}
