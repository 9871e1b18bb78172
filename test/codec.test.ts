import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import type { KeyRing } from '../src/config.js';
import { serveUiCodec } from '../src/embedded/ui-codec.js';
import { openPayload, sealPayload } from '../src/sealing/sealed-payload.js';
import { openFrontDoor, type Answer, type FrontDoor } from './setup/front-door.js';

const FIRST = { id: 'first', secret: Buffer.alloc(32, 1) };
const STRANGE = { id: 'strange', secret: Buffer.alloc(32, 3) };
const UI_ORIGIN = 'https://temporal.example.com';
const ring = (...keys: KeyRing['keys']): KeyRing => ({ keys, acceptsPlain: false });

let door: FrontDoor;
/** Of an operator. */
let key: string;
beforeAll(async () => {
  const codecCorsOrigins = ['https://other.example.com', UI_ORIGIN];
  door = await openFrontDoor({ config: { payloadKeys: ring(FIRST), codecCorsOrigins } });
  key = await door.key('operator');
});
afterAll(() => door.close());

const ask = (body: unknown, way = 'decode'): Promise<Answer> =>
  door.call('POST', `/codec/${way}`, { key, body });

describe('the codec', () => {
  const payloads = [defaultPayloadConverter.toPayload({ of: 'rita' }), defaultPayloadConverter.toPayload(7)];

  it('opens and seals for operators alone', async () => {
    const sealed = await codec('encode', payloads);
    expect(sealed.map((payload) => openPayload(payload, ring(FIRST)))).toMatchObject(
      payloads.map(() => ({ kind: 'opened' })),
    );
    const mixed = [
      ...sealed,
      payloads[0]!,
      { ...sealed[0]!, data: Buffer.alloc(64) },
      sealPayload(payloads[1]!, ring(STRANGE)),
    ];
    const opened = await codec('decode', mixed, '?preserveStorageRefs=true');
    expect(opened.slice(0, 3).map((payload) => defaultPayloadConverter.fromPayload(payload))).toEqual([
      { of: 'rita' },
      7,
      { of: 'rita' },
    ]);
    expect(opened.slice(3)).toEqual(mixed.slice(3));
    const body = { payloads: [] };
    for (const role of ['viewer', 'requester', 'approver', 'admin'] as const) {
      for (const way of ['decode', 'encode']) {
        const key = await door.key(role);
        expect((await door.call('POST', `/codec/${way}`, { key, body })).status).toBe(403);
      }
    }
    expect((await fetch(`${door.origin}/codec/decode`, { method: 'POST' })).status).toBe(401);
    const wrong = await ask({ payloads: [{ data: '%' }] });
    expect(wrong).toMatchObject({ status: 400, body: { code: 'invalid_request' } });
  });

  it('lets pages of the listed origins call it, and no others', async () => {
    const preflight = (origin: string) =>
      fetch(`${door.origin}/codec/decode`, {
        method: 'OPTIONS',
        headers: { origin, 'access-control-request-method': 'POST' },
      });
    const answer = await preflight(UI_ORIGIN);
    expect(answer.status).toBe(204);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'access-control-allow-origin': UI_ORIGIN,
      'access-control-allow-methods': 'POST',
      'access-control-allow-headers': 'content-type, x-namespace, authorization',
      vary: expect.stringMatching(/origin/i),
    });
    for (const origin of [
      'https://evil.example.com',
      'null',
      `${UI_ORIGIN}.evil.com`,
      UI_ORIGIN.toUpperCase(),
    ]) {
      expect((await preflight(origin)).headers.get('access-control-allow-origin')).toBeNull();
    }
    const refused = await fetch(`${door.origin}/codec/decode`, {
      method: 'POST',
      headers: { origin: UI_ORIGIN },
    });
    expect(refused.status).toBe(401);
    expect(refused.headers.get('access-control-allow-origin')).toBe(UI_ORIGIN);
    expect(refused.headers.get('access-control-allow-credentials')).toBeNull();
    const elsewhere = await fetch(`${door.origin}/v1/refunds`, { headers: { origin: UI_ORIGIN } });
    expect(elsewhere.headers.get('access-control-allow-origin')).toBeNull();
  });

  it('is called for the UI of `npm start` by the launcher, and for no other page', async () => {
    const uiCodec = await serveUiCodec();
    const askFrom = async (headers: Record<string, string>, path = '/decode?preserveStorageRefs=true') =>
      (await fetch(uiCodec.endpoint + path, { method: 'POST', headers, body: '{"payloads":[]}' })).status;
    expect(await askFrom({ origin: UI_ORIGIN })).toBe(503);
    uiCodec.connect({ uiOrigin: UI_ORIGIN, apiOrigin: door.origin, apiKey: key });
    expect(await askFrom({ origin: UI_ORIGIN })).toBe(200);
    expect(await askFrom({ origin: UI_ORIGIN }, '/encode')).toBe(200);
    expect(await askFrom({ origin: UI_ORIGIN }, '/decode/../../v1/refunds')).toBe(403);
    expect(await askFrom({ origin: 'https://evil.example.com' })).toBe(403);
    expect(await askFrom({})).toBe(403);
  });

  it('takes so many at once, and leaves nothing of them behind', async () => {
    const many = (count: number) => ask({ payloads: Array.from({ length: count }, () => ({})) }, 'encode');
    expect([(await many(1_000)).status, (await many(1_001)).status]).toEqual([200, 400]);
    const large = await ask({ payloads: [{ data: 'A'.repeat(1024 * 1024) }] });
    expect(large).toMatchObject({ status: 413, body: { code: 'payload_too_large' } });
    const sealed = await codec('encode', payloads);
    const answer = await ask({ payloads: [{ data: Buffer.from(sealed[0]!.data!).toString('base64') }] });
    expect(answer.headers['cache-control']).toBe('no-store');
    expect(JSON.stringify(door.logged)).not.toMatch(/rita|cml0Y|AAAA/);
  });
});

async function codec(way: 'decode' | 'encode', payloads: readonly Payload[], query = ''): Promise<Payload[]> {
  const base64 = (bytes: Uint8Array | null | undefined) => Buffer.from(bytes ?? []).toString('base64');
  const inJson = payloads.map(({ metadata, data }) => ({
    metadata: Object.fromEntries(
      Object.entries(metadata ?? {}).map(([name, value]) => [name, base64(value)]),
    ),
    data: base64(data),
  }));
  const { status, text } = await ask({ payloads: inJson }, way + query);
  expect({ status, text }).toMatchObject({ status: 200 });
  return (JSON.parse(text) as { payloads: typeof inJson }).payloads.map(({ metadata, data }) => ({
    metadata: Object.fromEntries(
      Object.entries(metadata).map(([name, value]) => [name, Buffer.from(value, 'base64')]),
    ),
    data: Buffer.from(data, 'base64'),
  }));
}
