/**
 * The list with one entry by which Raspberry Pi Imager 2 writes an image it did not download itself.
 * The rules are those of raspberrypi/rpi-imager, doc/json-schema/os-list-schema.json, in our words.
 */
import * as v from 'valibot'

const size = v.pipe(v.number(), v.integer(), v.minValue(1))
const sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/))
const words = v.pipe(v.string(), v.minLength(1))

const capabilities = [
  ...(['rpi_connect', 'secure_boot', 'passwordless_sudo'] as const),
  ...(['i2c', 'spi', 'onewire', 'serial', 'usb_otg'] as const),
] as const

const entry = v.looseObject({
  name: words,
  description: words,
  icon: words,
  url: v.pipe(v.string(), v.regex(/^(https?|file):\/\/.+\.(xz|gz|zip)$/)),
  extract_size: size,
  /** Of the image itself, not of the file that is downloaded; Imager refuses to finish otherwise. */
  extract_sha256: sha256,
  image_download_size: size,
  image_download_sha256: v.optional(sha256),
  release_date: v.pipe(v.string(), v.isoDate()),
  devices: v.pipe(v.array(words), v.minLength(1)),
  init_format: v.optional(
    v.picklist(['', 'systemd', 'cloudinit', 'cloudinit-rpi', 'rpi-preseed', 'none']),
  ),
  architecture: v.optional(v.picklist(['armel', 'armhf', 'armv8'])),
  website: v.optional(words),
  capabilities: v.optional(v.array(v.picklist(capabilities))),
  bmap_url: v.optional(v.string()),
  random: v.optional(v.boolean()),
  tooltip: v.optional(v.string()),
  enable_rpi_connect: v.optional(v.boolean()),
})

export const manifest = v.strictObject({
  imager: v.optional(v.looseObject({})),
  os_list: v.pipe(v.array(entry), v.minLength(1)),
})

export type Manifest = v.InferOutput<typeof manifest>

export interface Release {
  version: string
  /** Where image and icon are, as a URL of a folder. */
  folder: string
  file: string
  image: { bytes: number; sha256: string }
  download: { bytes: number; sha256: string }
  /** `YYYY-MM-DD` */
  date: string
  devices: readonly string[]
}

/** @throws v.ValiError when the result is not what Imager takes */
export function makeManifest(release: Release): Manifest {
  const { version, folder, file, image, download, date, devices } = release
  return v.parse(manifest, {
    os_list: [
      {
        name: `Fogmeter ${version} fog node`,
        description:
          'Debian with a read-only root and Fogmeter; its settings are put onto the card',
        icon: `${folder}/fogmeter.svg`,
        url: `${folder}/${file}`,
        extract_size: image.bytes,
        extract_sha256: image.sha256,
        image_download_size: download.bytes,
        image_download_sha256: download.sha256,
        release_date: date,
        devices: [...new Set(devices)],
        init_format: 'none',
        architecture: 'armv8',
      },
    ],
  })
}
