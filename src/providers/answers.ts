/** What an answer means before its body is read: the parts of the five mappings that are the same at each. */
import type { PaymentRead, ProviderError, SubmitOutcome } from '../domain/provider.js';
import type { HttpAnswer } from './http.js';

const ERROR_LENGTH_MAX = 200;

/** The provider's words, cut to 200 characters each and without what looks like a secret. */
export function providerError(code: string, message: string): ProviderError {
  return { code: tidy(code), message: tidy(message) };
}

/** For answers that carry no code of their own. */
export function httpError(answer: HttpAnswer, message = ''): ProviderError {
  return providerError(`http_${answer.status}`, message);
}

export function declined(error: ProviderError, options: { readonly mayBeOurs: boolean }): SubmitOutcome {
  return { kind: 'declined', error, mayBeOurs: options.mayBeOurs };
}

export function notNow(
  reason: Extract<SubmitOutcome, { kind: 'notNow' }>['reason'],
  error: ProviderError,
  retryAfterMs: number | null = null,
): SubmitOutcome {
  return { kind: 'notNow', reason, error, retryAfterMs };
}

export function unknown(error: ProviderError, retryAfterMs: number | null = null): SubmitOutcome {
  return { kind: 'unknown', error, retryAfterMs };
}

export function unreadable(detail: string): PaymentRead {
  return { kind: 'unreadable', detail };
}

/** True for the statuses that leave open whether the request was carried out. */
export function isUndecided(status: number): boolean {
  return status === 408 || status === 429 || status >= 500;
}

export function isSuccess(status: number): boolean {
  return status >= 200 && status <= 299;
}

/** The provider's own word that our credentials won't do; a 403 page of some proxy before it says nothing. */
export function refusesCredentials({ status, body }: HttpAnswer): boolean {
  return status === 401 || (status === 403 && !body.trimStart().startsWith('<'));
}

export function isClientError(status: number): boolean {
  return status >= 400 && status <= 499;
}

/** The refusals that mean the same at every provider's read; null where the provider's own words decide. */
export function readRefusal(answer: HttpAnswer, nowMs: number): PaymentRead | null {
  const detail = `the provider answered HTTP ${answer.status}`;
  if (answer.status === 401 || answer.status === 403) {
    return { kind: 'unavailable', reason: 'authorization_required', retryAfterMs: null, detail };
  }
  if (isUndecided(answer.status)) {
    const retryAfterMs = retryAfter(answer, nowMs);
    return { kind: 'unavailable', reason: 'provider_unavailable', retryAfterMs, detail };
  }
  return null;
}

/** Milliseconds from now; `Retry-After` is in seconds or an HTTP date. Null where absent or unreadable. */
export function retryAfter(answer: HttpAnswer, nowMs: number): number | null {
  const text = answer.headers['retry-after']?.trim() ?? '';
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const atMs = /^[A-Z][a-z]{2}, /.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(atMs) ? null : Math.max(0, atMs - nowMs);
}

function tidy(text: string): string {
  return (
    text
      .replace(/\bBearer\s+\S+/gi, 'Bearer [redacted]')
      .replace(/\beyJ[\w-]+(\.[\w-]+)*/g, '[redacted]')
      .replace(/\bsk_(test|live)_\w+/g, '[redacted]')
      // Long and opaque, but no error's name: those are words of one case.
      .replace(/\b(?![a-z_]+\b|[A-Z]+(_[A-Z]+)+\b)[\w+/=]{32,}/g, '[redacted]')
      .replace(/[\p{Cc}\s]+/gu, ' ')
      .trim()
      .slice(0, ERROR_LENGTH_MAX)
  );
}
