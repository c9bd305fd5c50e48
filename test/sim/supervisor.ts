import { codeOf, CodedError } from '#errors'
import type { Chance } from './chance.ts'
import type { DeviceClock } from './clock.ts'
import { PowerCut, type Disk } from './disk.ts'
import type { Engine } from './engine.ts'
import type { Truth } from './truth.ts'

/** One life of a program, from its start to its end. */
export interface Life {
  alive: () => boolean
  /** Runs a callback of the program; what it throws ends this life, as an uncaught error does. */
  run: (work: () => void) => void
  /** After this long by the device's clock, unless the life has ended. */
  later: (ms: number, work: () => void) => void
}

export interface Supervisor {
  readonly name: string
  readonly disk: Disk
  readonly clock: DeviceClock
  readonly up: boolean
  start(): void
  /** SIGKILL (connections end) or a power cut (they hang); started again after `downMs`. */
  kill(how: 'kill' | 'power', downMs: number): void
  readonly starts: number
}

export interface SupervisorOptions {
  engine: Engine
  chance: Chance
  truth: Truth
  name: string
  disk: Disk
  clock: DeviceClock
  /** Starts the program; may throw what a program may end with. */
  boot(life: Life): void
  /** Its connections go with it; `hang` leaves them as they are, dead. */
  cut(hang: boolean): void
  /** The store is damaged and the operator has been told: whatever the handbook says. */
  repair(code: string): void
}

/** Codes with which a program says that what it finds on its disk cannot be right. */
const damage = /^(meter\/store-damaged|fog\/store-damaged|window\/damaged|sqlite\/corrupt)$/
const restartMs = [2_000, 20_000] as const

/** An error with where it came from. */
export function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

/** systemd and an operator for one simulated program. */
export function createSupervisor(options: SupervisorOptions): Supervisor {
  const { engine, chance, truth, name, disk, clock } = options
  let generation = 0
  let up = false
  let starts = 0

  function lifeOf(mine: number): Life {
    const life: Life = {
      alive: () => up && mine === generation && !disk.off,
      run(work) {
        if (!life.alive()) return
        try {
          work()
          if (disk.off) end('power', chance.between(...restartMs))
        } catch (error) {
          if (up && mine === generation) failed(error)
        }
      },
      later(ms, work) {
        engine.after(clock.trueDelay(ms), () => life.run(work))
      },
    }
    return life
  }

  function failed(error: unknown): void {
    const downMs = chance.between(...restartMs)
    if (error instanceof PowerCut || disk.off) return end('power', downMs)
    if (!(error instanceof CodedError)) {
      truth.violation(`${name} ended with an error nobody planned: ${textOf(error)}`)
    }
    const code = codeOf(error)
    engine.note('died', name, code)
    end('kill', downMs)
    if (damage.test(code)) options.repair(code)
  }

  function end(how: 'kill' | 'power', downMs: number): void {
    generation += 1
    up = false
    options.cut(how === 'power')
    disk.crash()
    engine.note('down', name, how, Math.round(downMs))
    engine.after(downMs, start)
  }

  function start(): void {
    if (up) return
    generation += 1
    starts += 1
    up = true
    clock.boot()
    engine.note('start', name)
    const life = lifeOf(generation)
    life.run(() => options.boot(life))
  }

  return {
    name,
    disk,
    clock,
    get up() {
      return up
    },
    get starts() {
      return starts
    },
    start,
    kill(how, downMs) {
      if (up) end(how, downMs)
    },
  }
}
