import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const programs = {
  sim: fileURLToPath(new URL('../sim/main.ts', import.meta.url)),
  chaos: fileURLToPath(new URL('../chaos/main.ts', import.meta.url)),
}

function start(program: keyof typeof programs, ...args: string[]) {
  return spawnSync(process.execPath, [programs[program], ...args], { encoding: 'utf8' })
}

describe('command lines of the simulation and the campaigns', { timeout: 120_000 }, () => {
  test.each([
    ['sim', '--bogus', "Unknown option '--bogus'"],
    ['sim', 'nonsense', "Unexpected argument 'nonsense'"],
    ['sim', '--seeds=0', '--seeds: a whole number from 1 is needed'],
    ['sim', '--from=abc', '--from: a whole number from 0 is needed'],
    ['sim', '--mutations --mutation nope', '--mutation: there is no nope'],
    ['chaos', 'constructor', 'there is no constructor'],
    ['chaos', 'kill --kills 0', '--kills: a whole number from 1 is needed'],
    ['chaos', 'powercut --states abc', '--states: a whole number from 1 is needed'],
    ['chaos', 'soak --minutes=-1', '--minutes: a whole number from 1 is needed'],
  ] as const)('%s %s is refused in words', (program, args, words) => {
    const { status, stdout, stderr } = start(program, ...args.split(' '))
    expect([status, stdout]).toEqual([2, ''])
    expect(stderr).toContain(words)
    expect(stderr).toContain(`usage: npm run ${program} -- `)
  })

  test.each([
    ['sim', '--help'],
    ['chaos', '--help'],
    ['chaos', 'soak --help'],
  ] as const)('%s %s is data', (program, args) => {
    const { status, stdout } = start(program, ...args.split(' '))
    expect(status).toBe(0)
    expect(stdout).toContain(`usage: npm run ${program} -- `)
  })

  test('a seed that fails is named with the command that replays it', () => {
    const args = ['--seeds', '1', '--mutation', 'nonce-reuse']
    const first = start('sim', ...args)
    expect(first.status).toBe(1)
    const again = /\(replay: npm run sim -- (.+)\)/.exec(first.stderr)?.[1]?.split(' ') ?? []
    expect(again).toContain('nonce-reuse')
    const violation = /^ {2}\S+ s: .+$/m.exec(first.stderr)?.[0]
    expect(violation).toBeDefined()
    expect(start('sim', ...again).stderr).toContain(violation)
  })
})
