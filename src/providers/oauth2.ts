import { z } from 'zod';
import type { PaymentRead, ProviderError, SubmitOutcome } from '../domain/provider.js';
import { httpError, isUndecided, notNow, providerError, retryAfter } from './answers.js';
import { HttpFailure, type HttpAnswer } from './http.js';
import { integerCode, readJson } from './json.js';

/** What asking for an access token came to. `refused`: a person must give new credentials. */
export type TokenAnswer =
  { readonly kind: 'token'; readonly accessToken: string; readonly validUntilMs: number } | TokenFailure;

export interface TokenFailure {
  readonly kind: 'refused' | 'unavailable';
  readonly error: ProviderError;
  readonly retryAfterMs: number | null;
}

export interface TokenSource<Other = never> {
  get(): Promise<TokenAnswer | Other>;
  /** The provider refused this access token: the next `get` asks for another. */
  invalidate(accessToken: string): void;
}

/** Keeps an access token until shortly before its end; many callers at once cause one renewal. */
export class TokenHolder<Other extends { readonly kind: string } = never> implements TokenSource<Other> {
  private held: Extract<TokenAnswer, { kind: 'token' }> | null = null;
  private refusal: { readonly answer: TokenAnswer | Other; readonly untilMs: number } | null = null;
  private renewal: Promise<TokenAnswer | Other> | null = null;

  constructor(
    private readonly request: () => Promise<TokenAnswer | Other>,
    private readonly nowMs: () => number,
  ) {}

  async get(): Promise<TokenAnswer | Other> {
    if (this.held && this.nowMs() < this.held.validUntilMs) return this.held;
    if (this.refusal && this.nowMs() < this.refusal.untilMs) return this.refusal.answer;
    this.renewal ??= this.renew().finally(() => {
      this.renewal = null;
    });
    return this.renewal;
  }

  invalidate(accessToken: string): void {
    if (this.held?.accessToken === accessToken) this.held = null;
  }

  private async renew(): Promise<TokenAnswer | Other> {
    const answer = await this.request();
    this.held = isToken(answer) ? answer : null;
    this.refusal = answer.kind === 'refused' ? { answer, untilMs: this.nowMs() + REFUSAL_HOLDS_MS } : null;
    return answer;
  }
}

/** Sends with a token, and once more with a new one where the provider answers 401: for what may be repeated. */
export async function sendAuthorized(
  tokens: TokenSource,
  send: (accessToken: string) => Promise<HttpAnswer>,
): Promise<{ readonly kind: 'answer'; readonly answer: HttpAnswer } | TokenFailure> {
  const first = await tokens.get();
  if (first.kind !== 'token') return first;
  const answer = await send(first.accessToken);
  if (answer.status !== 401) return { kind: 'answer', answer };
  tokens.invalidate(first.accessToken);
  const second = await tokens.get();
  if (second.kind !== 'token') return second;
  return { kind: 'answer', answer: await send(second.accessToken) };
}

/** Credentials that were refused are not tried by every caller again: some providers revoke a grant for that. */
const REFUSAL_HOLDS_MS = 5_000;
const TOKEN_LIFETIME_SECONDS = 60;
const RENEW_BEFORE_END_MS = 30_000;

const TokenBody = z.object({
  access_token: z.string().regex(/^[\x21-\x7e]+$/),
  expires_in: integerCode.nullish(),
  refresh_token: z.string().min(1).nullish(),
});

export interface TokenReading {
  readonly token: TokenAnswer;
  /** The refresh token that follows the one used, where the provider rotates them. */
  readonly nextRefreshToken: string | null;
}

/** Asks a token endpoint and reads its answer; never throws for what the provider does. */
export async function requestToken(
  send: () => Promise<HttpAnswer>,
  nowMs: () => number,
): Promise<TokenReading> {
  try {
    return readToken(await send(), nowMs());
  } catch (failure) {
    if (!(failure instanceof HttpFailure)) throw failure;
    return failed('unavailable', providerError(failure.code, 'the token endpoint did not answer'));
  }
}

/** RFC 6749, 5.1 and 5.2. No body of a token endpoint is repeated in an error: it may hold secrets. */
function readToken(answer: HttpAnswer, nowMs: number): TokenReading {
  if ([400, 401, 403].includes(answer.status)) {
    return failed('refused', httpError(answer, 'the provider refused the credentials'));
  }
  const waitMs = isUndecided(answer.status) ? retryAfter(answer, nowMs) : null;
  if (answer.status !== 200) {
    return failed('unavailable', httpError(answer, 'the token endpoint gave no token'), waitMs);
  }
  const body = readJson(TokenBody, answer.body);
  if (!body.ok) return failed('unavailable', httpError(answer, 'the token endpoint gave no readable token'));
  const lifetimeMs = (body.value.expires_in ?? TOKEN_LIFETIME_SECONDS) * 1000;
  // A short life is used for half of it: the token must outlive the call that it is fetched for.
  const usableMs = Math.max(lifetimeMs - RENEW_BEFORE_END_MS, lifetimeMs / 2);
  return {
    token: { kind: 'token', accessToken: body.value.access_token, validUntilMs: nowMs + usableMs },
    nextRefreshToken: body.value.refresh_token ?? null,
  };
}

/** A submit that had no token was never sent. */
export function submitWithoutToken(failure: TokenFailure): SubmitOutcome {
  return notNow(reasonOf(failure), failure.error, failure.retryAfterMs);
}

export function readWithoutToken(failure: TokenFailure): PaymentRead {
  const { retryAfterMs, error } = failure;
  const detail = `no access token (${error.code})`;
  return { kind: 'unavailable', reason: reasonOf(failure), retryAfterMs, detail };
}

function reasonOf(failure: TokenFailure): 'authorization_required' | 'provider_unavailable' {
  return failure.kind === 'refused' ? 'authorization_required' : 'provider_unavailable';
}

function failed(
  kind: TokenFailure['kind'],
  error: ProviderError,
  retryAfterMs: number | null = null,
): TokenReading {
  return { token: { kind, error, retryAfterMs }, nextRefreshToken: null };
}

function isToken(answer: { readonly kind: string }): answer is Extract<TokenAnswer, { kind: 'token' }> {
  return answer.kind === 'token';
}
