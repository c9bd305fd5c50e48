import pc from 'picocolors'

/**
 * Colours for one stream: NO_COLOR turns them off, FORCE_COLOR on, otherwise a terminal decides.
 * picocolors alone also colours pipes wherever CI is set, which breaks whoever reads them.
 */
export function coloursFor(stream: { isTTY?: boolean }): ReturnType<typeof pc.createColors> {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env
  const forced = FORCE_COLOR !== undefined && FORCE_COLOR !== '' && FORCE_COLOR !== '0'
  const terminal = stream.isTTY === true && TERM !== 'dumb'
  return pc.createColors((NO_COLOR ?? '') === '' && (forced || terminal))
}
