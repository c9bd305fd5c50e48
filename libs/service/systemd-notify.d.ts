declare module 'systemd-notify' {
  /** Runs systemd-notify(1); rejects with what it wrote when it fails or is missing. */
  export default function notify(options: {
    ready?: boolean
    status?: string
    pid?: number
    booted?: boolean
  }): Promise<unknown>
}
