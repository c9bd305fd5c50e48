/**
 * Cumulative registers made from power. Energy is kept in watt-seconds, so nothing is ever rounded
 * away: `importWh` counts whole Wh and the rest (0 to 3599 Ws) waits for the next interval. All
 * integers; a register of 10^12 Wh is 3.6 · 10^15 Ws, still exact.
 */
export interface Registers {
  importWh: number
  exportWh: number
  importRestWs: number
  exportRestWs: number
}

const WS_PER_WH = 3_600

/** Registers that show the given whole Wh. */
export function registersAt(importWh = 0, exportWh = 0): Registers {
  return { importWh, exportWh, importRestWs: 0, exportRestWs: 0 }
}

/**
 * The registers after `durationS` seconds (an integer) at a mean of `powerW` (an integer; negative
 * is export). A minute at p kW is p/60 kWh: 1234 W for 60 s are 74040 Ws, 20 Wh and 2040 Ws.
 */
export function integrate(registers: Registers, powerW: number, durationS: number): Registers {
  const energyWs = Math.abs(powerW) * durationS
  const { importWh, exportWh, importRestWs, exportRestWs } = registers
  if (powerW >= 0) {
    const total = importRestWs + energyWs
    const rest = total % WS_PER_WH
    const whole = importWh + (total - rest) / WS_PER_WH
    return { importWh: whole, exportWh, importRestWs: rest, exportRestWs }
  }
  const total = exportRestWs + energyWs
  const rest = total % WS_PER_WH
  const whole = exportWh + (total - rest) / WS_PER_WH
  return { importWh, exportWh: whole, importRestWs, exportRestWs: rest }
}
