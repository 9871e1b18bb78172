import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What the dev server's UI calls to have payloads opened, on loopback. */
export interface UiCodec {
  readonly endpoint: string;
  /** From now on calls of that UI go to the API, with a key in its name. */
  connect(to: CodecPlaces): void;
}

export interface CodecPlaces {
  readonly uiOrigin: string;
  readonly apiOrigin: string;
  /** Of an operator. */
  readonly apiKey: string;
}

/**
 * The dev server's UI has no login and can send no key. So that the service itself never opens anything without one, this
 * sends the demo's, for that UI alone. Only for `npm start`: whoever may use this machine's loopback may use it too.
 */
export async function serveUiCodec(): Promise<UiCodec> {
  let places: CodecPlaces | null = null;
  const server = createServer((request, response) => {
    passOn(request, response, places).catch(() => response.writeHead(502).end());
  });
  server.listen(0, HOST).unref();
  await once(server, 'listening');
  return {
    endpoint: `http://${HOST}:${(server.address() as AddressInfo).port}/codec`,
    connect: (to) => {
      places = to;
    },
  };
}

const HOST = '127.0.0.1';
const BODY_BYTES_MAX = 1024 * 1024;

async function passOn(
  request: IncomingMessage,
  response: ServerResponse,
  places: CodecPlaces | null,
): Promise<void> {
  if (places === null) return void response.writeHead(503).end();
  const { pathname } = new URL(request.url ?? '/', places.apiOrigin);
  // The host too: a page elsewhere could have its own name point here.
  const isAsked = /^\/codec\/(?:decode|encode)$/.test(pathname) && isLoopback(request.headers.host);
  if (!isAsked || request.headers.origin !== places.uiOrigin) return void response.writeHead(403).end();
  const admitted = {
    'access-control-allow-origin': places.uiOrigin,
    'access-control-allow-headers': 'content-type, x-namespace',
    vary: 'origin',
  };
  if (request.method === 'OPTIONS') return void response.writeHead(204, admitted).end();
  if (request.method !== 'POST') return void response.writeHead(405, admitted).end();

  const body = await readBody(request);
  const answer = await fetch(places.apiOrigin + pathname, {
    method: 'POST',
    headers: { authorization: `Bearer ${places.apiKey}`, 'content-type': 'application/json' },
    body,
  });
  response.writeHead(answer.status, { ...admitted, 'content-type': 'application/json' });
  response.end(await answer.text());
}

function isLoopback(host: string | undefined): boolean {
  return host !== undefined && /^127\.0\.0\.1:\d+$/.test(host);
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) throw new Error('too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
