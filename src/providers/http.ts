import { Pool, errors, type Dispatcher } from 'undici';

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Path with an already encoded query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal?: AbortSignal;
  /**
   * Asked once the connection stands, right before the first byte; on false nothing is written and the call ends
   * as `HttpFailure('no', SEND_REFUSED)`.
   */
  readonly beforeSend?: () => boolean;
}

export interface HttpAnswer {
  readonly status: number;
  /** Names in lower case; of a repeated header the first. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
}

export interface HttpClient {
  /**
   * One request, sent once: no retries, no redirects.
   * @throws HttpFailure when no whole answer came.
   */
  send(request: HttpRequest): Promise<HttpAnswer>;
}

export interface TlsIdentity {
  readonly pfx?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
  readonly passphrase?: string;
}

export type CreateHttpClient = (origin: string, tls?: TlsIdentity) => HttpClient;

/** No whole answer. `sent: 'no'` only where it is certain that not one byte of the request left. */
export class HttpFailure extends Error {
  constructor(
    readonly sent: 'no' | 'maybe',
    /** The system's or undici's code (ECONNREFUSED, UND_ERR_SOCKET …) or one of this file: safe to log and to store. */
    readonly code: string,
  ) {
    super(`no whole answer (${code})`);
    this.name = 'HttpFailure';
  }
}

/** `beforeSend` answered false. */
export const SEND_REFUSED = 'SEND_REFUSED';

/** The call's own time was up after its bytes may have left. */
export const CALL_TIMEOUT = 'CALL_TIMEOUT';

const ANSWER_BYTES_MAX = 1024 * 1024;

/** The clients of one process: a connection pool for each, and one way to close them all. */
export type HttpClients = CreateHttpClient & {
  /** Waits for the calls under way, then closes every connection. */
  close(): Promise<void>;
};

/** `timeoutMs` bounds a whole call, from asking for a connection to the last byte of the answer. */
export function createHttpClient({ timeoutMs }: { readonly timeoutMs: number }): HttpClients {
  const pools: Pool[] = [];
  const create: CreateHttpClient = (origin, tls) => {
    const pool = new Pool(origin, {
      pipelining: 1,
      maxResponseSize: ANSWER_BYTES_MAX,
      connect: { ...tls, timeout: timeoutMs },
    });
    pools.push(pool);
    return { send: (request) => new Call(pool, request, timeoutMs).answer };
  };
  const close = async () => {
    await Promise.all(pools.map((pool) => pool.close()));
  };
  return Object.assign(create, { close });
}

/** One request on its way. undici tells when it begins to write, which is what `sent` rests on. */
class Call implements Dispatcher.DispatchHandler {
  readonly answer: Promise<HttpAnswer>;
  private resolve!: (answer: HttpAnswer) => void;
  private reject!: (failure: HttpFailure) => void;
  private over = false;
  /** Set from the instant at which bytes may leave. */
  private controller: Dispatcher.DispatchController | null = null;
  private status = 0;
  private headers: Record<string, string | undefined> = {};
  private readonly chunks: Buffer[] = [];
  private readonly timer: NodeJS.Timeout;

  constructor(
    pool: Pool,
    private readonly request: HttpRequest,
    timeoutMs: number,
  ) {
    this.answer = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.timer = setTimeout(() => {
      if (this.controller) this.fail('maybe', CALL_TIMEOUT);
      else this.fail('no', 'UND_ERR_CONNECT_TIMEOUT');
    }, timeoutMs);
    request.signal?.addEventListener('abort', this.onAbort);
    if (request.signal?.aborted) this.onAbort();
    else this.dispatch(pool);
  }

  private dispatch(pool: Pool): void {
    const { method, path, headers, body } = this.request;
    try {
      // Not idempotent: undici must never put a request into its queue a second time. No reset: it would close the
      // connection after each DELETE that has a body.
      pool.dispatch({ method, path, headers, body: body ?? null, idempotent: false, reset: false }, this);
    } catch (error) {
      this.onResponseError(null, error);
    }
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (!this.over && this.request.beforeSend && !this.request.beforeSend()) this.fail('no', SEND_REFUSED);
    if (this.over) return controller.abort(new errors.RequestAbortedError());
    this.controller = controller;
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    this.status = status;
    this.headers = Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [
        name.toLowerCase(),
        Array.isArray(value) ? value[0] : value,
      ]),
    );
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.chunks.push(chunk);
  }

  onResponseEnd(): void {
    if (this.over) return;
    this.finish();
    this.resolve({
      status: this.status,
      headers: this.headers,
      body: Buffer.concat(this.chunks).toString('utf8'),
    });
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: unknown): void {
    this.fail(this.controller === null && provesNothingSent(error) ? 'no' : 'maybe', codeOf(error));
  }

  private readonly onAbort = (): void => this.fail('maybe', 'UND_ERR_ABORTED');

  private fail(sent: 'no' | 'maybe', code: string): void {
    if (this.over) return;
    this.finish();
    this.reject(new HttpFailure(sent, code));
    // A request that has not started is given up in onRequestStart, before its first byte.
    this.controller?.abort(new errors.RequestAbortedError());
  }

  private finish(): void {
    this.over = true;
    clearTimeout(this.timer);
    this.request.signal?.removeEventListener('abort', this.onAbort);
  }
}

const BEFORE_THE_FIRST_BYTE: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);

const TLS_CODE = /^(CERT_|SELF_SIGNED_|DEPTH_ZERO_|UNABLE_TO_|ERR_TLS_|ERR_SSL_)/;

/**
 * A list of what proves it, never of what does not. TLS codes need the second look in `onResponseError`: under
 * TLS 1.3 the other side may refuse our certificate after the request was written.
 */
function provesNothingSent(error: unknown): boolean {
  const { code, errors: causes } = membersOf(error);
  // All addresses of a name were tried: each attempt must prove it.
  if (Array.isArray(causes)) return causes.length > 0 && causes.every(provesNothingSent);
  return typeof code === 'string' && (BEFORE_THE_FIRST_BYTE.has(code) || TLS_CODE.test(code));
}

function codeOf(error: unknown): string {
  const { code, name } = membersOf(error);
  if (typeof code === 'string' && code !== '') return code;
  return typeof name === 'string' ? name : 'UNKNOWN';
}

function membersOf(error: unknown): { code?: unknown; errors?: unknown; name?: unknown } {
  return typeof error === 'object' && error !== null ? error : {};
}
