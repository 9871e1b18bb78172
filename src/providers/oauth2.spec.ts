import { describe, expect, it } from '@jest/globals';
import { HttpFailure } from './http.js';
import { requestToken, sendAuthorized, TokenHolder, type TokenAnswer } from './oauth2.js';

function tokens(lifetimeMs = 1000) {
  const clock = { nowMs: 0, requests: 0 };
  const holder = new TokenHolder(
    async (): Promise<TokenAnswer> => {
      clock.requests += 1;
      return { kind: 'token', accessToken: `t${clock.requests}`, validUntilMs: clock.nowMs + lifetimeMs };
    },
    () => clock.nowMs,
  );
  return { clock, holder };
}

const http = (status: number, body = '') => ({ status, headers: {}, body });

describe('TokenHolder', () => {
  it('asks once for many callers, and again only when the time is over', async () => {
    const { clock, holder } = tokens();
    await Promise.all(Array.from({ length: 20 }, () => holder.get()));
    expect(clock.requests).toBe(1);
    clock.nowMs = 1000;
    await Promise.all([holder.get(), holder.get()]);
    expect(clock.requests).toBe(2);
  });

  it('keeps a newer token when an older one is refused late', async () => {
    const { clock, holder } = tokens();
    await holder.get();
    holder.invalidate('t1');
    await holder.get();
    holder.invalidate('t1');
    await holder.get();
    expect(clock.requests).toBe(2);
  });

  it('does not keep a failure', async () => {
    let fails = true;
    const failure = { kind: 'unavailable', error: { code: 'x', message: '' }, retryAfterMs: null } as const;
    const holder = new TokenHolder(
      async (): Promise<TokenAnswer> =>
        fails ? failure : { kind: 'token', accessToken: 't', validUntilMs: 10 },
      () => 0,
    );
    expect(await holder.get()).toBe(failure);
    fails = false;
    expect(await holder.get()).toMatchObject({ accessToken: 't' });
  });
});

describe('sendAuthorized', () => {
  it('renews once after a 401 and sends once more', async () => {
    const { clock, holder } = tokens();
    const seen: string[] = [];
    const sent = await sendAuthorized(holder, async (token) => {
      seen.push(token);
      return http(seen.length === 1 ? 401 : 200);
    });
    expect(seen).toEqual(['t1', 't2']);
    expect(clock.requests).toBe(2);
    expect(sent).toMatchObject({ kind: 'answer', answer: { status: 200 } });
  });

  it('gives up after the second 401', async () => {
    const { clock, holder } = tokens();
    const sent = await sendAuthorized(holder, async () => http(401));
    expect(clock.requests).toBe(2);
    expect(sent).toMatchObject({ kind: 'answer', answer: { status: 401 } });
  });
});

describe('requestToken', () => {
  const ask = async (status: number, body: string) =>
    (
      await requestToken(
        async () => http(status, body),
        () => 0,
      )
    ).token;

  it('uses a token until shortly before its end', async () => {
    expect(await ask(200, '{"access_token":"a","expires_in":300}')).toMatchObject({ validUntilMs: 270_000 });
    expect(await ask(200, '{"access_token":"a","expires_in":"20"}')).toMatchObject({ validUntilMs: 10_000 });
  });

  it.each([400, 401, 403])(
    'takes %d as refused credentials, and repeats nothing of the body',
    async (status) => {
      const answer = await ask(status, '{"error":"invalid_grant","refresh_token":"s3cret"}');
      expect(answer).toMatchObject({ kind: 'refused' });
      expect(JSON.stringify(answer)).not.toContain('s3cret');
    },
  );

  it.each([
    [500, ''],
    [429, ''],
    [302, ''],
    [200, '<html>'],
    [200, '{"token":"a"}'],
    [200, '{"access_token":"a\\r\\nb"}'],
  ])('takes %d with %j as out of reach', async (status, body) => {
    expect(await ask(status, body)).toMatchObject({ kind: 'unavailable' });
  });

  it('takes a call without an answer as out of reach, whether or not it was sent', async () => {
    const reading = await requestToken(
      () => Promise.reject(new HttpFailure('maybe', 'ECONNRESET')),
      () => 0,
    );
    expect(reading.token).toMatchObject({ kind: 'unavailable', error: { code: 'ECONNRESET' } });
  });
});
