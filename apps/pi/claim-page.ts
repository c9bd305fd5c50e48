/** What a Pi without a token shows: its code, as words and as QR, on the screen and on a small page. */
import { createServer, type Server, type ServerResponse } from 'node:http'
import { renderSVG, renderUnicodeCompact } from 'uqr'
import { CodedError } from '#errors'

/** What to run, with all eight words in it. */
export function claimCommand(code: string, name: string | null): string {
  return `fogmeter fog claim ${code} --name ${name ?? 'NAME'}`
}

/** Lines for a console; only characters of code page 437, which every font of the kernel has. */
export function claimLines(code: string, name: string | null): string[] {
  return [
    '',
    ...renderUnicodeCompact(code).split('\n'),
    '',
    ...wordLines(code),
    '',
    claimCommand(code, name),
  ]
}

function wordLines(code: string): string[] {
  const words = code.split('-')
  return [words.slice(0, 4), words.slice(4)].map((four) => `  ${four.join('  ')}`)
}

/**
 * Serves the page to whoever asks, until `close`. It says nothing that is secret, takes nothing, and
 * counts for nothing: an operator compares it with what the cloud shows.
 * @throws pi/page-listen
 */
export async function serveClaimPage(
  listen: { host?: string; port: number },
  code: string,
  name: string | null,
): Promise<{ port: number; close: () => Promise<void> }> {
  const page = pageOf(code, name)
  const server = createServer({ requestTimeout: 5_000, headersTimeout: 5_000 })
  server.maxConnections = 16
  server.on('request', (request, response) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') answer(response, 405, 'only GET\n')
    else if (request.url === '/') answer(response, 200, page, 'text/html')
    else answer(response, 404, 'only /\n')
  })
  await opened(server, listen)
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : listen.port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** Words have letters only and names no mark that means anything in HTML. */
function pageOf(code: string, name: string | null): string {
  const words = wordLines(code).join('<br>')
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Fogmeter: a fog node waits to be claimed</title>
<style>body{font:1.2rem sans-serif;margin:2rem;max-width:40rem}svg{width:14rem}code{user-select:all}</style>
<h1>This fog node waits to be claimed</h1>
${renderSVG(code)}
<p><b>${words}</b></p>
<p>On the operator's machine:</p>
<p><code>${claimCommand(code, name)}</code></p>
</html>
`
}

function answer(response: ServerResponse, status: number, body: string, type = 'text/plain'): void {
  response.writeHead(status, {
    'content-type': `${type}; charset=utf-8`,
    'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'",
    'cache-control': 'no-store',
  })
  response.end(body)
}

function opened(server: Server, listen: { host?: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const message = `the page with the code cannot be shown on port ${listen.port}: ${error.message}`
      reject(new CodedError('pi/page-listen', message, { cause: error }))
    })
    server.listen(listen, resolve)
  })
}
