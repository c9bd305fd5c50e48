/**
 * Chips by published figures. Every number has its source beside it or in `sources`; what nobody has
 * published for a chip is derived, and says so. Times are of machine code, as a firmware in C has it:
 * the interpreter of the emulator costs nothing here.
 */
import type { Operation } from './firmware/host.ts'

export interface Profile {
  about: string
  /** What the virtual machine gets: all the static RAM of the chip. */
  memoryBytes: number
  /** What is free on the chip itself once its system has started, before Wi-Fi. */
  freeBytes: number
  /** Memory that outlives deep sleep. */
  retainedBytes: number
  flash: {
    /** Given to the meter, of 4 MB. */
    sectors: number
    sectorBytes: number
    /** Erasures a sector is good for. */
    ratedErases: number
    programMs: number
    eraseMs: number
  }
  /** At 3.3 V. */
  milliamps: { cpu: number; radio: number; sleep: number }
  /** Extra current while sending, and how long a frame takes on the air with its retries. */
  transmit: { milliamps: number; msPerFrame: number }
  /** From waking to the first line of the program. */
  bootMs: number
  /** Radio on to an address from the router. */
  associateMs: readonly [least: number, most: number]
  /** How far the sleeping clock may be off, parts per million either way. */
  driftPpm: number
  /** Milliseconds: of one operation, and more for each KiB it works on. */
  costs: Readonly<Record<Operation, readonly [fixedMs: number, perKibMs: number]>>
  sources: readonly string[]
}

export const VOLTS = 3.3

/** W25Q32JV datasheet, AC characteristics and features: typical page program, sector erase, endurance. */
const flash = {
  sectors: 256,
  sectorBytes: 4_096,
  ratedErases: 100_000,
  programMs: 0.4,
  eraseMs: 45,
} as const

const FLASH_SOURCE =
  'flash: Winbond W25Q32JV datasheet (0.4 ms a page, 45 ms a sector, 100,000 erasures)'
const RADIO_SOURCE =
  'association: the 0.3 to 1 s of the ESP8266EX datasheet for reaching a known router, up to 4 s with a scan and DHCP'

/** SHA-256 is fast everywhere; a hash of few bytes is mostly its call. */
function symmetric(sha256: number, chachaPoly: number) {
  return {
    sha256: [0.02, sha256],
    hmac: [0.08, sha256],
    seal: [0.1, chachaPoly],
    open: [0.1, chachaPoly],
  } as const
}

export const profiles = {
  esp32: {
    about: 'ESP32 (Xtensa LX6, 240 MHz), 520 KB of static RAM',
    memoryBytes: 520 * 1_024,
    freeBytes: 312 * 1_024,
    retainedBytes: 8_192,
    flash,
    milliamps: { cpu: 20, radio: 85, sleep: 0.01 },
    transmit: { milliamps: 160, msPerFrame: 2 },
    bootMs: 300,
    associateMs: [800, 4_000],
    driftPpm: 22_000,
    costs: {
      sign: [16.8, 0.1],
      verify: [18.8, 0.1],
      keygen: [13.9, 0],
      agree: [204, 0],
      ...symmetric(0.04, 0.5),
    },
    sources: [
      'memory: 520 KB by the ESP32 datasheet; 312 KiB of heap by the boot log of the benchmark below',
      'curves and hashes: wolfSSL 5.6.4 on ESP-IDF 5.1 at 240 MHz (wolfssl_benchmark_IDF_v5_ESP32_HW_compiler_performance_optimized.txt): sign 16.8 ms, verify 18.8, key 13.9, X25519 204; libsodium signs in 24 and verifies in 54 (ssbc/tinySSB, ed25519.h)',
      'current: ESP-WROOM-32 datasheet, table 5: CPU 20 mA at most without radio, listening 80 to 90, sending 160 at the lowest rate of output, deep sleep with timer and memory 10 µA',
      'start: the boot logs of the same benchmark reach the program after 0.3 s',
      'clock: 20 minutes in 15 hours of deep sleep (espressif/arduino-esp32 issue 7084)',
      'ChaCha20-Poly1305: assumed at 120 cycles a byte, no published figure found',
      FLASH_SOURCE,
      RADIO_SOURCE,
    ],
  },
  'esp32-s3': {
    about: 'ESP32-S3 (Xtensa LX7, 160 MHz), 512 KB of static RAM',
    memoryBytes: 512 * 1_024,
    freeBytes: 397 * 1_024,
    retainedBytes: 8_192,
    flash,
    milliamps: { cpu: 39.9, radio: 88, sleep: 0.008 },
    transmit: { milliamps: 283, msPerFrame: 2 },
    bootMs: 280,
    associateMs: [800, 4_000],
    driftPpm: 22_000,
    costs: {
      sign: [12, 0.1],
      verify: [26.8, 0.1],
      keygen: [8.8, 0],
      agree: [266, 0],
      ...symmetric(0.05, 0.75),
    },
    sources: [
      'memory: 512 KB by the ESP32-S3 datasheet; 397 KiB of heap by the boot log of the benchmark below',
      'curves and hashes: wolfSSL 5.5.4 on ESP-IDF 5.0 at 160 MHz (wolfssl_benchmark_IDF_v5_ESP32S3.txt): sign 12.0 ms, verify 26.8, key 8.8, X25519 266',
      'current: ESP32-S3 series datasheet, current consumption: one core at 160 MHz 39.9 mA, receiving 88, sending 802.11n 283, deep sleep 8 µA (8 µA measured at lucidar.me)',
      'clock: as for the ESP32, whose oscillator it has',
      'ChaCha20-Poly1305: assumed at 120 cycles a byte, no published figure found',
      FLASH_SOURCE,
      RADIO_SOURCE,
    ],
  },
  esp8266: {
    about: 'ESP8266EX (Xtensa LX106, 80 MHz), 80 KB of data RAM',
    memoryBytes: 80 * 1_024,
    freeBytes: 50 * 1_024,
    retainedBytes: 512,
    flash,
    milliamps: { cpu: 15, radio: 56, sleep: 0.02 },
    transmit: { milliamps: 170, msPerFrame: 2 },
    bootMs: 350,
    associateMs: [800, 4_000],
    driftPpm: 30_000,
    costs: {
      sign: [205, 0.5],
      verify: [321, 0.5],
      keygen: [205, 0],
      agree: [108, 0],
      ...symmetric(1, 1.5),
    },
    sources: [
      'memory: 80 KB of data RAM, about 50 KB for the user (ESP8266EX datasheet, as quoted at embedded.hateblo.jp)',
      'curves: derived, a lower bound: Arduino Cryptography Library on a Cortex-M3 at 84 MHz (X25519 103 ms, sign 195, verify 306), scaled to 80 MHz; the LX106 has no 64-bit product',
      'current: ESP8266EX datasheet, tables 3-4 and 5-2: CPU 15 mA, receiving 56, sending 170, deep sleep 20 µA',
      'clock: "seconds per minute" (MicroPython, quick reference for the ESP8266)',
      'hashes and ChaCha20-Poly1305: assumed at 80 and 120 cycles a byte, no published figure found',
      FLASH_SOURCE,
      RADIO_SOURCE,
    ],
  },
} as const satisfies Record<string, Profile>

export type ProfileName = keyof typeof profiles

/** Milliseconds one operation takes on this chip. */
export function costMs(profile: Profile, operation: Operation, bytes: number): number {
  const [fixedMs, perKibMs] = profile.costs[operation]
  return fixedMs + (perKibMs * bytes) / 1_024
}
