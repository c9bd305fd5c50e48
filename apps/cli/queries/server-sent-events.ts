export interface ServerSentEvent {
  event: string
  data: string
}

/** Longer than any event of ours; a server that never ends a line must not fill the memory. */
const MAX_PENDING = 1_000_000

/**
 * The events of a `text/event-stream` body
 * (https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation).
 */
export async function* serverSentEvents(response: Response): AsyncGenerator<ServerSentEvent> {
  const decoder = new TextDecoder()
  let pending = ''
  for await (const chunk of response.body ?? []) {
    pending += decoder.decode(chunk, { stream: true })
    const blocks = pending.split(/\r?\n\r?\n/)
    pending = blocks.pop() ?? ''
    if (pending.length > MAX_PENDING) return
    for (const block of blocks) {
      const event = parseBlock(block)
      if (event) yield event
    }
  }
}

/** Null for comments and for blocks that carry no data. */
function parseBlock(block: string): ServerSentEvent | null {
  const data: string[] = []
  let event = 'message'
  for (const line of block.split(/\r?\n/)) {
    const [, field, value] = /^([a-z]+):? ?(.*)$/.exec(line) ?? []
    if (field === 'data') data.push(value ?? '')
    if (field === 'event') event = value ?? ''
  }
  return data.length === 0 ? null : { event, data: data.join('\n') }
}
