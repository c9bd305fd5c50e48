/** The boards an image is for, and what each needs on the boot partition. */
export interface Model {
  name: string
  /** The device tree that the board's firmware loads when `upstream_kernel=1`. */
  dtb: string
  /** Files of the firmware it starts with; a Pi 5 has it all in its own memory. */
  firmware: readonly string[]
  /** What Raspberry Pi Imager calls it. */
  device: string
}

const pi3 = { firmware: ['bootcode.bin', 'start.elf', 'fixup.dat'], device: 'pi3-64bit' }
const pi4 = { firmware: ['start4.elf', 'fixup4.dat'], device: 'pi4-64bit' }
const pi5 = { firmware: [], device: 'pi5-64bit' }

const stock: readonly Model[] = [
  { name: 'Pi 3 Model A+', dtb: 'bcm2837-rpi-3-a-plus.dtb', ...pi3 },
  { name: 'Pi 3 Model B', dtb: 'bcm2837-rpi-3-b.dtb', ...pi3 },
  { name: 'Pi 3 Model B+', dtb: 'bcm2837-rpi-3-b-plus.dtb', ...pi3 },
  { name: 'Pi Zero 2 W', dtb: 'bcm2837-rpi-zero-2-w.dtb', ...pi3 },
  { name: 'Pi 4 Model B', dtb: 'bcm2711-rpi-4-b.dtb', ...pi4 },
  { name: 'Pi 400', dtb: 'bcm2711-rpi-400.dtb', ...pi4 },
  { name: 'Compute Module 4', dtb: 'bcm2711-rpi-cm4-io.dtb', ...pi4 },
]

/** Boards whose card and network the kernel of that choice drives. */
export function modelsOf(kernel: 'stock' | 'backports'): readonly Model[] {
  if (kernel === 'stock') return stock
  return [...stock, { name: 'Pi 5', dtb: 'bcm2712-rpi-5-b.dtb', ...pi5 }]
}
