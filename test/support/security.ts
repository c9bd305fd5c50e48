import { copyFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Cluster } from '../../apps/demo/cluster.ts'
import type { ProcessSpec } from '../../apps/demo/processes.ts'
import { byLabel, scrape, total } from '../../apps/demo/scrape.ts'

/** Asks again until `holds`; the error says what never came true. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  boundMs = 60_000,
): Promise<void> {
  const end = performance.now() + boundMs
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not within ${boundMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

export function specOf({ specs }: Cluster, name: string): ProcessSpec {
  const spec = specs.find((one) => one.name === name)
  if (spec === undefined) throw new Error(`no process ${name}`)
  return spec
}

/** Changes the configuration of one process before it starts. */
export function reconfigure(spec: ProcessSpec, change: (text: string) => string): void {
  const before = readFileSync(spec.config, 'utf8')
  const after = change(before)
  if (after === before) throw new Error(`nothing to change in ${spec.config}`)
  writeFileSync(spec.config, after, { mode: 0o600 })
}

export interface LogLine {
  level: string
  msg: string
  code?: string
  detail?: string | null
  advice?: string | null
  reason?: string
}

/** What a process has logged; lines that are no JSON are errors at start, as a person sees them. */
export function logOf(log: string): { lines: LogLine[]; text: string } {
  const text = readFileSync(log, 'utf8')
  const lines = text
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as LogLine)
  return { lines, text }
}

/** A metric of a process, all its labels or one of them; 0 while the process does not answer. */
export async function metric({ port }: ProcessSpec, name: string, label?: string): Promise<number> {
  const series = await scrape(port)
  if (label === undefined) return total([series], `fogmeter_${name}`)
  return byLabel([series], `fogmeter_${name}`).get(label) ?? 0
}

/** Replaces `target` by a copy of `source`, the way an operator's copy arrives: all at once. */
export function deliver(source: string, target: string): void {
  copyFileSync(source, `${target}.new`)
  renameSync(`${target}.new`, target)
}

/** A configuration like that of `spec` with changes, in a file of its own; not yet started. */
export function variant(
  cluster: Cluster,
  spec: ProcessSpec,
  name: string,
  port: number,
  change: (text: string) => string,
): ProcessSpec {
  const { dir } = cluster.plan
  const config = join(dir, 'config', `${name}.toml`)
  const text = readFileSync(spec.config, 'utf8')
    .replace(/\[metrics\]\nlisten = .*/, `[metrics]\nlisten = "127.0.0.1:${port}"`)
    .replace(/(\[store\]\npath = ).*/, `$1"${join(dir, 'state', `${name}.db`)}"`)
  writeFileSync(config, change(text), { mode: 0o600 })
  return { ...spec, name, config, port, log: join(dir, 'log', `${name}.log`) }
}
