import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Bank } from './bank.js';
import type { CallOperation, SimulatedPayment, SimulatedProvider, SimulatedRefund } from './book.js';
import type { FaultOperation, Faults, WireFault } from './faults.js';
import { members } from './wire.js';

export interface SimulatorRequest {
  readonly method: string;
  readonly query: URLSearchParams;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** Parsed where it is JSON or a form, else undefined. */
  readonly body: unknown;
  /** The decoded groups of the route's path. */
  readonly params: readonly string[];
  /** Set by `stale_read`: the answer lacks the newest refund. */
  readonly stale: boolean;
  /** Set by the faults of these names: what to answer to a request that would else be accepted. */
  readonly refusal: 'insufficient_balance' | 'declined' | null;
}

export interface SimulatorAnswer {
  readonly status: number;
  /** Sent as JSON; absent: no body. */
  readonly body?: unknown;
}

export interface Route {
  readonly operation: FaultOperation;
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly path: RegExp;
  /** Decides, acts and answers in one go, so that no two requests interleave. */
  handle(request: SimulatorRequest): SimulatorAnswer;
  /** Told when a fault keeps an accepted request waiting before `handle`. */
  hold?(request: SimulatorRequest): void;
}

export interface ProviderSimulator {
  readonly name: SimulatedProvider;
  /** Routes by the setting that names their origin. */
  readonly routes: Readonly<Record<string, readonly Route[]>>;
  /** Settings of the service under test: credentials and webhook secrets. */
  readonly settings: Readonly<Record<string, string>>;
  /** The refusal of a call without valid credentials, null for a good one. Token calls check their own. */
  authorize(request: SimulatorRequest): SimulatorAnswer | null;
  readonly unauthorized: SimulatorAnswer;
  /** The document's refusal of a refund that was made before. */
  readonly alreadyRefunded: SimulatorAnswer;
  /** Voids the access tokens given out. */
  expireAccess(): void;
  errorBody(status: number): unknown;
  /** The same answer with a status word or number that no document lists. */
  withUnknownStatus(operation: FaultOperation, answer: SimulatorAnswer): SimulatorAnswer;
  /** Null where the provider has no webhooks. */
  readonly webhook: ((payment: SimulatedPayment, refund: SimulatedRefund | null) => SimulatedWebhook) | null;
}

export interface SimulatedWebhook {
  readonly search: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** One origin on loopback that can be closed and opened again on its port. */
export class Listener {
  readonly #server: Server;
  #port: number;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.#port = port;
  }

  /** Port 0 takes a free one. */
  static async open(
    port: number,
    serve: (incoming: IncomingMessage, outgoing: ServerResponse) => Promise<void>,
  ): Promise<Listener> {
    const server = createServer((incoming, outgoing) => {
      serve(incoming, outgoing).catch((error: unknown) => {
        // A client may go away while its request is read; anything else is a bug here, not a fault on demand.
        if (!incoming.readableAborted) process.emitWarning(error instanceof Error ? error : String(error));
        incoming.socket.destroy();
      });
    });
    const listener = new Listener(server, port);
    await listener.up();
    return listener;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async up(): Promise<void> {
    if (this.#server.listening) return;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#port, '127.0.0.1', () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async down(): Promise<void> {
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
}

/** Answers one provider's requests: notes the call, checks credentials, then lets a fault or the route decide. */
export function serveProvider(
  provider: ProviderSimulator,
  routes: readonly Route[],
  faults: Faults,
  bank: Bank,
): (incoming: IncomingMessage, outgoing: ServerResponse) => Promise<void> {
  return async (incoming, outgoing) => {
    const url = new URL(incoming.url ?? '/', 'http://simulator');
    const route = routes.find((each) => each.method === incoming.method && each.path.test(url.pathname));
    const request = await readRequest(incoming, url, route);
    const refused = route && route.operation !== 'token' ? provider.authorize(request) : null;
    const fault = route && !refused ? faults.takeWire(provider.name, route.operation) : null;
    noteCall(bank, provider.name, route?.operation ?? 'other', url, request, fault);
    if (!route) return send(outgoing, { status: 404, body: provider.errorBody(404) });
    if (refused) return send(outgoing, refused);
    if (!fault) return send(outgoing, route.handle(request));
    strike(fault, provider, route, request, bank, outgoing);
  };
}

export async function readBody(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

export function send(
  outgoing: ServerResponse,
  answer: SimulatorAnswer,
  headers: Record<string, string> = {},
): void {
  if (answer.body === undefined) {
    outgoing.writeHead(answer.status, headers).end();
    return;
  }
  outgoing
    .writeHead(answer.status, { 'content-type': 'application/json', ...headers })
    .end(JSON.stringify(answer.body));
}

function strike(
  fault: WireFault,
  provider: ProviderSimulator,
  route: Route,
  request: SimulatorRequest,
  bank: Bank,
  outgoing: ServerResponse,
): void {
  const reset = (): void => void outgoing.socket?.resetAndDestroy();
  const fail = (status: number, headers: Record<string, string> = {}): void =>
    send(outgoing, { status, body: provider.errorBody(status) }, headers);
  switch (fault.name) {
    case 'reset_before_effect':
      return reset();
    case 'reset_after_effect':
      route.handle(request);
      return reset();
    case 'timeout_before_effect':
      return;
    case 'timeout_after_effect':
      route.handle(request);
      return;
    case 'status_before_effect':
    case 'status_after_effect':
      if (fault.name === 'status_after_effect') route.handle(request);
      return fail(
        fault.status,
        fault.retryAfter === undefined ? {} : { 'retry-after': String(fault.retryAfter) },
      );
    case 'cut_body':
      return sendCut(outgoing, route.handle(request));
    case 'refused_after_effect': {
      const answer = route.handle(request);
      // What the route itself refuses had no effect before.
      return send(outgoing, answer.status < 300 ? provider.alreadyRefunded : answer);
    }
    case 'still_running':
      route.handle(request);
      return send(outgoing, { status: 208, body: { message: 'Already Reported' } });
    case 'html':
      if (fault.effect) route.handle(request);
      outgoing
        .writeHead(fault.status, { 'content-type': 'text/html; charset=utf-8' })
        .end('<!doctype html><html><head><title>Gateway</title></head><body><h1>Gateway</h1></body></html>');
      return;
    case 'unknown_status':
      return send(outgoing, provider.withUnknownStatus(route.operation, route.handle(request)));
    case 'insufficient_balance':
    case 'declined':
      return send(outgoing, route.handle({ ...request, refusal: fault.name }));
    case 'stale_read':
      return send(outgoing, route.handle({ ...request, stale: true }));
    case 'token_expired':
      provider.expireAccess();
      return send(outgoing, provider.unauthorized);
    case 'late_effect':
      route.hold?.(request);
      bank.later(fault.ms, () => void route.handle(request));
      return fault.status === undefined ? reset() : fail(fault.status);
    case 'slow':
      route.hold?.(request);
      bank.later(fault.ms, () => send(outgoing, route.handle(request)));
      return;
  }
}

/** Promises more bytes than it sends; an answer without body breaks off within its head. */
function sendCut(outgoing: ServerResponse, answer: SimulatorAnswer): void {
  const { socket } = outgoing;
  if (answer.body === undefined) {
    socket?.write(`HTTP/1.1 ${answer.status} No Content\r\nDate:`, () => socket.destroy());
    return;
  }
  const text = Buffer.from(JSON.stringify(answer.body));
  outgoing.writeHead(answer.status, { 'content-type': 'application/json', 'content-length': text.length });
  outgoing.write(text.subarray(0, Math.floor(text.length / 2)), () => socket?.destroy());
}

async function readRequest(
  incoming: IncomingMessage,
  url: URL,
  route: Route | undefined,
): Promise<SimulatorRequest> {
  const text = await readBody(incoming);
  const headers = Object.fromEntries(
    Object.entries(incoming.headers).map(([name, value]) => [name, String(value)]),
  );
  const form = (headers['content-type'] ?? '').startsWith('application/x-www-form-urlencoded');
  return {
    method: incoming.method ?? '',
    query: url.searchParams,
    headers,
    body: form ? Object.fromEntries(new URLSearchParams(text)) : parseJson(text),
    params: (route?.path.exec(url.pathname) ?? []).slice(1).map(decode),
    stale: false,
    refusal: null,
  };
}

const SECRET_HEADERS = ['authorization', 'merchantid', 'merchantkey', 'x-api-key', 'cookie'];

function noteCall(
  bank: Bank,
  provider: SimulatedProvider,
  operation: CallOperation,
  url: URL,
  request: SimulatorRequest,
  fault: WireFault | null,
): void {
  bank.book.writeCall({
    provider,
    operation,
    method: request.method,
    path: url.pathname + url.search,
    headers: Object.fromEntries(
      Object.entries(request.headers).filter(([name]) => !SECRET_HEADERS.includes(name)),
    ),
    body:
      operation === 'token' ? { grant_type: members(request.body)['grant_type'] } : (request.body ?? null),
    atMs: Date.now(),
    ...(fault === null ? {} : { fault }),
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
