import { setTimeout as pause } from 'node:timers/promises';
import type { Told } from './stories.js';

export interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** A client as the contract wants it: after a 503 or a broken connection the same request again, with the same key. */
export interface Client {
  /** Null where nothing but 503 and broken connections came until `giveUpAtMs`. */
  insist(method: 'GET' | 'POST', path: string, more?: Asking): Promise<Answer | null>;
  readonly unanswered: () => number;
}

export interface Asking {
  readonly body?: object;
  readonly key?: string;
  /** The first answer is lost: nobody waits for it any longer than so. */
  readonly hangUpAfterMs?: number;
}

export function clientOf(origins: readonly string[], apiKey: string, giveUpAtMs: () => number): Client {
  let unanswered = 0;
  let turn = 0;
  const ask = async (
    method: string,
    path: string,
    { body, key }: Asking,
    withinMs: number,
  ): Promise<Answer | null> => {
    turn += 1;
    try {
      const response = await fetch((origins[turn % origins.length] ?? '') + path, {
        method,
        headers: {
          authorization: `Bearer ${apiKey}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(key === undefined ? {} : { 'idempotency-key': key }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(withinMs),
      });
      return { status: response.status, body: (await response.json()) as Answer['body'] };
    } catch {
      return null;
    }
  };
  return {
    insist: async (method, path, more = {}) => {
      let withinMs = more.hangUpAfterMs ?? ANSWER_WITHIN_MS;
      for (;;) {
        const answer = await ask(method, path, more, withinMs);
        withinMs = ANSWER_WITHIN_MS;
        if (answer !== null && !meansRepeat(answer, more)) return answer;
        unanswered += 1;
        if (Date.now() > giveUpAtMs()) return null;
        await pause(REPEAT_AFTER_MS);
      }
    },
    unanswered: () => unanswered,
  };
}

/** Too many; not known to be accepted; another request of this key is under way. */
function meansRepeat({ status }: Answer, { key }: Asking): boolean {
  return status === 429 || status === 503 || (status === 409 && key !== undefined);
}

export function toldBy({ status, body }: Answer): Told {
  const text = (value: unknown): string | null => (typeof value === 'string' ? value : null);
  return { status, refundId: status === 202 ? text(body['id']) : null, code: text(body['code']) };
}

/** Within 10 s something is answered, whatever is down behind the door; a frozen door takes longer. */
const ANSWER_WITHIN_MS = 15_000;
const REPEAT_AFTER_MS = 300;
