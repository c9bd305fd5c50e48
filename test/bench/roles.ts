/** What the helper processes of a measurement can be asked for. */
import { Fleet, type Load } from './fleet.ts'
import { systemClock } from '#service'
import { serve } from './worker.ts'

export function serveRole(role: string): void {
  const start = roles[role]
  if (start === undefined) throw new Error(`no role ${role}`)
  start()
}

const roles: Record<string, () => void> = {
  fleet: serveFleet,
}

function serveFleet(): void {
  const fleet = new Fleet()
  const timed = async (work: Promise<void>) => {
    const before = systemClock.monotonic()
    await work
    return { ms: systemClock.monotonic() - before }
  }
  serve({
    connect: ({ port, meters, intervalS }: { port: number; meters: number; intervalS: number }) =>
      fleet.connect(port, meters, intervalS),
    prepare: (load: Load) => fleet.prepare(load),
    run: (window: number) => timed(fleet.run(window)),
    pace: (perSecond: number) => timed(fleet.pace(perSecond)),
  })
}
