import { Agent, request } from 'undici';
import { problemOfForm, type UrlRules } from './endpoint-url.js';
import { safeLookup } from './safe-connect.js';

export type PostOutcome =
  | { readonly kind: 'answered'; readonly status: number }
  /** `code`: the system's, undici's or one of this file; safe to log and to store. */
  | { readonly kind: 'failed'; readonly code: string };

/** One POST, sent once: no retries, no redirects, and no connection that was made for another. */
export type Post = (
  url: string,
  headers: Readonly<Record<string, string>>,
  body: string,
) => Promise<PostOutcome>;

/** The URL was allowed once, and is not any more. */
export const URL_REFUSED = 'URL_REFUSED';

const TIMEOUT_MS = 10_000;
/** An answer's body is nobody's business; so much is read, so that its sender may finish. */
const BODY_BYTES_MAX = 64 * 1024;

/** `ca`: whose certificates are trusted instead of the system's, in PEM. */
export function createPost(
  rules: UrlRules,
  { timeoutMs = TIMEOUT_MS, ca }: { timeoutMs?: number; ca?: string } = {},
): Post {
  // Said here, so that NODE_TLS_REJECT_UNAUTHORIZED in somebody's environment changes nothing.
  const tls = { rejectUnauthorized: true, ...(ca === undefined ? {} : { ca }) };
  return async (url, headers, body) => {
    if (problemOfForm(url, rules) !== null) return { kind: 'failed', code: URL_REFUSED };
    // A new one each time: a connection that is kept would outlive the check of its address.
    const agent = new Agent({
      connect: { ...tls, lookup: safeLookup(rules), timeout: timeoutMs },
      pipelining: 0,
    });
    const signal = AbortSignal.timeout(timeoutMs);
    try {
      const answer = await request(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'user-agent': 'Estorno', ...headers },
        body,
        dispatcher: agent,
        signal,
      });
      // Whatever becomes of the rest, the endpoint has said what it has to say.
      await answer.body.dump({ limit: BODY_BYTES_MAX, signal }).catch(() => undefined);
      return { kind: 'answered', status: answer.statusCode };
    } catch (error) {
      return { kind: 'failed', code: signal.aborted ? 'TIMEOUT' : codeOf(error) };
    } finally {
      await agent.destroy();
    }
  };
}

function codeOf(error: unknown): string {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : null;
  return typeof code === 'string' && /^[A-Z0-9_]{3,60}$/.test(code) ? code : 'FAILED';
}
