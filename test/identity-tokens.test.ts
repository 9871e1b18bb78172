import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { exportJWK, exportSPKI, generateKeyPair, SignJWT, UnsecuredJWT, type JWTPayload } from 'jose';
import { createApiKey } from '../src/ledger/keys.js';
import { NOW_MS, openFrontDoor, paymentBody, storeOutcome, type FrontDoor } from './setup/front-door.js';

const ISSUER = 'https://id.example.com/';
const AUDIENCE = 'estorno';
const NOW_S = NOW_MS / 1000;
const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'] as const;
const NOT_ALLOWED = 'ES384';

type Pair = Awaited<ReturnType<typeof generateKeyPair>>;
const pairs = new Map<string, Pair>();
let keySet: Server;
let asked = 0;
let door: FrontDoor;

beforeAll(async () => {
  for (const alg of [...ALGORITHMS, NOT_ALLOWED]) {
    pairs.set(alg, await generateKeyPair(alg, { extractable: true }));
  }
  const keys = await Promise.all(
    [...pairs].map(async ([alg, { publicKey }]) => ({ ...(await exportJWK(publicKey)), kid: alg, alg })),
  );
  keySet = createServer((_, response) => {
    asked += 1;
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys }));
  });
  keySet.listen(0, '127.0.0.1');
  await once(keySet, 'listening');
  door = await openDoor((keySet.address() as AddressInfo).port);
});
afterAll(async () => {
  await door.close();
  keySet.close();
});

function openDoor(
  port: number,
  claims: { actorClaim?: string; rolesClaim?: string } = {},
): Promise<FrontDoor> {
  const jwksUrl = new URL(`http://127.0.0.1:${port}/keys`);
  const names = { actorClaim: 'email', rolesClaim: 'roles', ...claims };
  return openFrontDoor({ config: { identity: { issuer: ISSUER, audience: AUDIENCE, jwksUrl, ...names } } });
}

const CLAIMS: JWTPayload = {
  iss: ISSUER,
  aud: AUDIENCE,
  exp: NOW_S + 300,
  email: 'ana@example.com',
  roles: ['requester', 'janitor'],
};

function sign(
  changes: Readonly<Record<string, unknown>> = {},
  alg = 'RS256',
  kid = alg,
  key = pairs.get(alg)!.privateKey,
): Promise<string> {
  return new SignJWT({ ...CLAIMS, ...changes }).setProtectedHeader({ alg, kid }).sign(key);
}

const read = async (key: string, at = door) => {
  const { status, body } = await at.call('GET', '/v1/refunds', { key });
  return status === 200 ? 200 : [status, body.code];
};

describe('a token of the identity provider', () => {
  it.each(ALGORITHMS)('opens what its roles open, signed with %s', async (alg) => {
    expect(await read(await sign({}, alg))).toBe(200);
    const pause = await door.call('POST', '/v1/providers/pagou/pause', {
      key: await sign({}, alg),
      body: {},
    });
    expect([pause.status, pause.body.code]).toEqual([403, 'forbidden']);
  });

  it('may name its roles in one text', async () => {
    expect(await read(await sign({ roles: 'janitor viewer' }))).toBe(200);
  });

  it.each([[[]], ['janitor'], [undefined], [7], [{ viewer: true }], [['Admin', 'viewer ']]])(
    'without a role of ours is 403: %j',
    async (roles) => {
      expect(await read(await sign({ roles }))).toEqual([403, 'forbidden']);
    },
  );

  it('is 401 when it is expired, not yet valid, endless, of another issuer or for another audience', async () => {
    const wrong = [
      { exp: NOW_S - 31 },
      { nbf: NOW_S + 31 },
      { exp: undefined },
      { iss: 'https://other.example.com/' },
      { aud: 'another' },
      { aud: undefined },
    ];
    for (const changes of wrong) expect(await read(await sign(changes))).toEqual([401, 'unauthenticated']);
    expect(await read(await sign({ exp: NOW_S - 29, nbf: NOW_S + 29 }))).toBe(200);
  });

  it('is 401 for a signature of nobody, of another key, of an unknown key, of an algorithm beyond the list, and of a shared secret', async () => {
    const stranger = await generateKeyPair('RS256');
    const publicText = await exportSPKI(pairs.get('RS256')!.publicKey);
    const header = { alg: 'HS256', kid: 'RS256' };
    const [head, body] = (await sign()).split('.');
    const tokens = [
      new UnsecuredJWT(CLAIMS).encode(),
      await sign({}, 'RS256', 'RS256', stranger.privateKey),
      await sign({}, 'RS256', 'unknown'),
      await sign({}, 'RS256', 'ES256'),
      await sign({}, NOT_ALLOWED),
      await new SignJWT(CLAIMS).setProtectedHeader(header).sign(new TextEncoder().encode(publicText)),
      `${head}.${body}.`,
      `${head}.${body}`,
      'a.b.c',
    ];
    for (const token of tokens) expect(await read(token)).toEqual([401, 'unauthenticated']);
  });

  it('brings no key of its own, and names no place to fetch one', async () => {
    const { privateKey, publicKey } = await generateKeyPair('RS256');
    const before = asked;
    const { port } = keySet.address() as AddressInfo;
    const own = { alg: 'RS256', kid: 'own', jwk: await exportJWK(publicKey) };
    const headers = [
      own,
      { ...own, kid: 'RS256' },
      { alg: 'RS256', kid: '../../etc/passwd', x5u: `http://127.0.0.1:${port}/keys` },
      { alg: 'RS256', kid: "' OR 1=1", jku: `http://127.0.0.1:${port}/keys` },
      { alg: 'RS256', kid: 'RS256', crit: ['mine'], mine: true },
    ];
    for (const header of headers) {
      const token = await new SignJWT(CLAIMS)
        .setProtectedHeader(header)
        .sign(privateKey, { crit: { mine: true } });
      expect(await read(token)).toEqual([401, 'unauthenticated']);
    }
    expect(asked - before).toBeLessThanOrEqual(1);
  });

  it('may be for several audiences, and is 431 where it is larger than any honest one', async () => {
    expect(await read(await sign({ aud: ['other', AUDIENCE] }))).toBe(200);
    expect(await read(await sign({ aud: ['other'] }))).toEqual([401, 'unauthenticated']);
    expect(await read(await sign({ more: 'x'.repeat(20_000) }))).toEqual([431, 'headers_too_large']);
  });

  it('asks for the keys again at most once in a while, whatever key ids are made up', async () => {
    const before = asked;
    for (const kid of ['x1', 'x2', 'x3']) await read(await sign({}, 'RS256', kid));
    expect(asked - before).toBeLessThanOrEqual(1);
  });

  it.each([[undefined], [''], ['a\u0301na'], ['ana\n'], [' ana'], ['x'.repeat(129)], ['Estorno'], [['ana']]])(
    'is 401 where its claim names no actor: %j',
    async (email) => {
      expect(await read(await sign({ email }))).toEqual([401, 'unauthenticated']);
    },
  );

  it('is 401 where its address is not verified', async () => {
    expect(await read(await sign({ email_verified: false }))).toEqual([401, 'unauthenticated']);
    expect(await read(await sign({ email_verified: true }))).toBe(200);
  });

  it('means nothing where no identity provider is configured', async () => {
    const closed = await openFrontDoor();
    expect(await read(await sign(), closed)).toEqual([401, 'unauthenticated']);
    await closed.close();
  });
});

describe('one person', () => {
  it('is one actor with a key and with a token, however the token spells it', async () => {
    const payment = await door.call('POST', '/v1/payments', { body: paymentBody });
    const actor = 'Bea@Example.com';
    const { key } = await createApiKey(door.db, { actor, roles: ['requester'], nowMs: NOW_MS });
    door.engine.answer = async (start) => {
      await storeOutcome(door.db, start, { paymentId: payment.body.id, amountMinor: 100 });
      return { kind: 'admitted' } as never;
    };
    const token = await sign({ email: 'bea@example.com' });
    const ask = (credential: string) =>
      door.call('POST', '/v1/refunds', {
        key: credential,
        headers: { 'idempotency-key': 'one-1' },
        body: { payment_id: payment.body.id, amount: 100, reason: 'duplicate' },
      });
    const first = await ask(key);
    const again = await ask(token);
    expect(door.engine.asked.map(({ start }) => start.actor)).toEqual([actor]);
    expect([first.status, again.status, again.body.id]).toEqual([202, 202, first.body.id]);
    expect(again.headers['idempotent-replayed']).toBe('true');
  });
});

describe('while the keys of the identity provider can not be had', () => {
  it('a token is 503 and never a pass, and API keys still open', async () => {
    const lost = await openDoor(1);
    expect(await read(await sign(), lost)).toEqual([503, 'engine_unavailable']);
    expect((await lost.call('GET', '/v1/refunds')).status).toBe(200);
    await lost.close();
  });

  it.each([
    ['is no key set', (response: ServerResponse) => response.end('<html>')],
    [
      'is another address',
      (response: ServerResponse) => {
        const { port } = keySet.address() as AddressInfo;
        response.writeHead(302, { location: `http://127.0.0.1:${port}/keys` }).end();
      },
    ],
    ['never ends', (response: ServerResponse) => response.writeHead(200).write('{"keys":[')],
    [
      'is larger than any honest set',
      (response: ServerResponse) => response.end(`"${'x'.repeat(1_000_000)}"`),
    ],
  ])('the same where what comes %s', async (_, answer) => {
    const broken = createServer((_request, response) => {
      answer(response);
    }).listen(0, '127.0.0.1');
    await once(broken, 'listening');
    const lost = await openDoor((broken.address() as AddressInfo).port);
    expect(await read(await sign(), lost)).toEqual([503, 'engine_unavailable']);
    await lost.close();
    broken.closeAllConnections();
    broken.close();
  });
});

describe('a key that the identity provider changes', () => {
  it('opens once the new one is published, and the old one no more once it is fetched again', async () => {
    const [older, newer] = [await generateKeyPair('ES256'), await generateKeyPair('ES256')];
    const published = async (pair: Pair, kid: string) => ({
      ...(await exportJWK(pair.publicKey)),
      kid,
      alg: 'ES256',
    });
    let keys = [await published(older, 'older')];
    const rotating = createServer((_, response) => response.end(JSON.stringify({ keys }))).listen(
      0,
      '127.0.0.1',
    );
    await once(rotating, 'listening');
    const { port } = rotating.address() as AddressInfo;
    const open = await openDoor(port);
    const tokens = [
      await sign({}, 'ES256', 'older', older.privateKey),
      await sign({}, 'ES256', 'newer', newer.privateKey),
    ] as const;
    expect([await read(tokens[0], open), await read(tokens[1], open)]).toEqual([
      200,
      [401, 'unauthenticated'],
    ]);
    keys = [await published(newer, 'newer')];
    // Another process, which has fetched nothing yet.
    const other = await openDoor(port);
    expect([await read(tokens[0], other), await read(tokens[1], other)]).toEqual([
      [401, 'unauthenticated'],
      200,
    ]);
    await open.close();
    await other.close();
    rotating.close();
  });
});
