import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ConfiguredProvider } from '../src/api/deps.js';
import { openDatabase } from '../src/ledger/database.js';
import { PROVIDERS } from '../src/providers/registry.js';
import { NOW_MS, openFrontDoor, PIX_ID, type FrontDoor } from './setup/front-door.js';
import { createTestDatabase } from './setup/real-parts.js';
import { startRelay } from './setup/relay.js';

type Sender = 'efi' | 'braspag' | 'pagou';

const SETTINGS = {
  EFI_CLIENT_ID: 'id',
  EFI_CLIENT_SECRET: 'secret',
  EFI_BASE_URL: 'http://127.0.0.1:1',
  EFI_WEBHOOK_SECRET: 'new,old',
  BRASPAG_MERCHANT_ID: 'id',
  BRASPAG_MERCHANT_KEY: 'key',
  BRASPAG_WEBHOOK_SECRET: 'new,old',
  PAGOU_API_KEY: 'new,old',
};
const BODIES: Readonly<Record<Sender, string>> = {
  efi: `{"identificadorPagamento": "urn:efi:${PIX_ID}", "tipo": "devolucao"}`,
  braspag: `{"PaymentId": "${PIX_ID}", "ChangeType": 2}`,
  pagou: `{"event_name": "qrcode.refunded", "data": {"id": "${PIX_ID}"}}`,
};

/** The three as they are in production, at a fake engine. */
const providers = new Map<string, ConfiguredProvider>(
  PROVIDERS.map((definition) => {
    const own = Object.entries(SETTINGS).filter(([name]) => name.startsWith(definition.name.toUpperCase()));
    const provider =
      own.length === 0
        ? null
        : definition.create(definition.settings.parse(Object.fromEntries(own)), {
            createHttpClient: () => ({ send: () => Promise.reject(new Error('nothing is asked here')) }),
            timeoutMs: 1_000,
            nowMs: () => NOW_MS,
            credentialStore: { rotateCredential: () => Promise.reject(new Error('nothing is kept here')) },
            log: { warn: () => undefined },
          });
    return [definition.name, { definition, provider }];
  }),
);

let door: FrontDoor;
beforeAll(async () => {
  door = await openFrontDoor({ providers });
});
afterAll(() => door.close());

interface Proof {
  readonly search?: string;
  readonly headers?: Record<string, string>;
}

function proofOf(sender: Sender, secret: string, body = BODIES[sender], atMs = NOW_MS): Proof {
  switch (sender) {
    case 'efi':
      return { search: `?hmac=${secret}` };
    case 'braspag':
      return { headers: { 'x-webhook-secret': secret } };
    case 'pagou': {
      const timestamp = String(atMs / 1000);
      const signature = createHmac('sha256', secret).update(timestamp).update(body).digest('hex');
      return { headers: { 'x-pagou-timestamp': timestamp, 'x-pagou-signature': signature } };
    }
  }
}

const deliver = async (
  sender: Sender,
  { search = '', headers = {} }: Proof,
  body = BODIES[sender],
  at = door,
) => (await at.call('POST', `/v1/providers/${sender}/webhook${search}`, { key: null, body, headers })).status;
const stored = async () => (await door.db.selectFrom('webhook_inbox').select('provider').execute()).length;

describe.each(['efi', 'braspag', 'pagou'] as const)('the proof of %s', (sender) => {
  it('is made with the new secret or, while it changes, with the old one', async () => {
    expect(await deliver(sender, proofOf(sender, 'new'))).toBe(200);
    expect(await deliver(sender, proofOf(sender, 'old'))).toBe(200);
  });

  it('is none with another secret, with both at once, or without', async () => {
    const before = await stored();
    for (const secret of ['other', 'new,old', 'NEW', '']) {
      expect(await deliver(sender, proofOf(sender, secret))).toBe(401);
    }
    expect(await deliver(sender, {})).toBe(401);
    expect(await stored()).toBe(before);
  });
});

describe('a proof', () => {
  it('that comes twice is none, even where the first one is right', async () => {
    expect(await deliver('efi', { search: '?hmac=new&hmac=other' })).toBe(401);
    expect(await deliver('efi', { search: '?hmac=new&hmac=new' })).toBe(401);
    expect(await deliver('efi', { search: '?hmac[]=new' })).toBe(401);
    expect(await deliver('braspag', { headers: { 'x-webhook-secret': 'new, other' } })).toBe(401);
  });

  it('of Pagou is of these bytes: the same meaning, written otherwise, is not signed', async () => {
    const written = BODIES.pagou;
    const otherwise = JSON.stringify(JSON.parse(written));
    expect(await deliver('pagou', proofOf('pagou', 'new'), otherwise)).toBe(401);
    expect(await deliver('pagou', proofOf('pagou', 'new'), `${written}\n`)).toBe(401);
    expect(await deliver('pagou', proofOf('pagou', 'new', otherwise), otherwise)).toBe(200);
  });

  it.each([
    [-301, 401],
    [-300, 200],
    [300, 200],
    [301, 401],
  ])('of Pagou from %i s off is %i', async (seconds, status) => {
    expect(await deliver('pagou', proofOf('pagou', 'new', BODIES.pagou, NOW_MS + seconds * 1000))).toBe(
      status,
    );
  });
});

it('answers within a second while PostgreSQL is silent: 503 for who is to send it again, 401 for all others', async () => {
  const database = await createTestDatabase();
  const relay = await startRelay(database.url);
  const db = openDatabase(relay.url, { poolMax: 2 });
  const slow = await openFrontDoor({ providers, db });
  const senders = ['efi', 'braspag', 'pagou'] as const;
  try {
    relay.freeze();
    const beforeMs = performance.now();
    const answers = await Promise.all([
      ...senders.map((sender) => deliver(sender, proofOf(sender, 'new'), BODIES[sender], slow)),
      ...senders.map((sender) => deliver(sender, {}, BODIES[sender], slow)),
    ]);
    expect(answers).toEqual([503, 503, 503, 401, 401, 401]);
    expect(performance.now() - beforeMs).toBeLessThan(3_000);
  } finally {
    await relay.close();
    await slow.close();
    await db.destroy();
    await database.drop();
  }
}, 20_000);
