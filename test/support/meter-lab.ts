/** A fog node that keeps its promises, and configurations of real meters at it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createAuthority, enrol } from '#identity'
import type { Reading } from '#reading'
import { startTestFog } from './test-fog.ts'

export type MeterLab = Awaited<ReturnType<typeof startMeterLab>>

/** An authority and its fog node `fog-1`, in a temporary folder of their own. */
export async function startMeterLab() {
  const folder = mkdtempSync(join(tmpdir(), 'fogmeter-meter-'))
  const authority = join(folder, 'authority')
  createAuthority(authority)
  const files = enrol(authority, 'fog', 'fog-1')
  const fog = await startTestFog({ ...files, key: files.key ?? '' })

  /** The configuration of a freshly enrolled meter at that fog node; `more` is its source and the rest. */
  function configure(name: string, ...more: string[]): string {
    enrol(authority, 'meter', name)
    const config = join(folder, `${name}.toml`)
    const lines = [
      `node = "fog-1"\nname = "${name}"`,
      `[broker]\nurl = "mqtt://127.0.0.1:${fog.port}"`,
      '[identity]',
      'key = "authority/enrolled/{name}/{name}.key"',
      'credential = "authority/enrolled/{name}/{name}.cwt"',
      'authority = "authority/authority.pub"',
      '[store]\npath = "{name}.db"',
      ...more,
    ]
    writeFileSync(config, lines.join('\n'))
    return config
  }

  return {
    folder,
    authority,
    fog,
    configure,
    /** What the fog node holds of a meter, in order. */
    readingsOf: (name: string): Reading[] =>
      fog.of(name)?.durable.flatMap(({ readings }) => readings) ?? [],
    close: async () => {
      await fog.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
