import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { sql } from 'kysely';
import type { Evidence } from '../src/api/evidence.schema.js';
import { openDatabase, type Database } from '../src/ledger/database.js';
import { createApiKey } from '../src/ledger/keys.js';
import { createPolicyShelf } from '../src/ledger/policies.js';
import { settleRefund } from '../src/ledger/settlement.js';
import { castVote } from '../src/ledger/votes.js';
import { readPolicy } from '../src/policy.js';
import { createAuditMacs } from '../src/signing/audit-mac.js';
import { openFrontDoor, type Answer, type FrontDoor } from './setup/front-door.js';
import { done, openLedger, START_MS, type LedgerScene } from './setup/ledger-scene.js';

const AUDIT_KEYS = { keys: [{ id: 'k1', secret: Buffer.alloc(32, 3) }] };
const EVIL = `"><script>alert('1')</script><img src=x onerror=alert(1)>\u202eevil\u061c\u2066\u00ad\u001b[2J\u{e0041}\u2028`;
const policy = readPolicy('config/policy.json');

let ledger: LedgerScene;
let unkeyed: Database;
let door: FrontDoor;
let keyless: FrontDoor;
let key: string;
let refundId: string;

beforeAll(async () => {
  ledger = await openLedger({ auditMacs: createAuditMacs(AUDIT_KEYS) });
  unkeyed = openDatabase(ledger.url, { poolMax: 2 });
  [door, keyless] = await Promise.all([openFrontDoor({ db: ledger.db }), openFrontDoor({ db: unkeyed })]);
  ({ key } = await createApiKey(ledger.db, { actor: 'vera', roles: ['viewer'], nowMs: START_MS }));
  refundId = await storeSucceeded();
});
afterAll(async () => {
  await Promise.all([door.close(), keyless.close()]);
  await unkeyed.destroy();
  await ledger.close();
});

/** Asked for, agreed on, sent and settled, with a hostile text wherever somebody may write one. */
async function storeSucceeded(): Promise<string> {
  const shelf = createPolicyShelf(ledger.db, policy, {
    nowMs: () => START_MS,
    log: { warn: () => undefined },
  });
  await shelf.keep();
  const id = await ledger.refund(await ledger.payment(), {
    approvals: 1,
    description: EVIL,
    reference: EVIL,
    metadata: { [EVIL]: EVIL, orderId: '1042' },
    policy,
  });
  const vote = { refundId: id, nonce: 'n1', actor: 'bruno', proof: 'v1.test.proof' };
  await castVote(
    ledger.db,
    { ...vote, action: 'approve', contentHash: 'content-hash', comment: EVIL, requestId: 'req_vote' },
    START_MS,
  );
  await ledger.submit(id, done(EVIL));
  await settleRefund(ledger.db, id, START_MS + 2_000);
  return id;
}

const read = (accept?: string, id = refundId, at = door): Promise<Answer> =>
  at.call('GET', `/v1/refunds/${id}/evidence`, { key, ...(accept ? { headers: { accept } } : {}) });

const evidenceOf = ({ body }: Answer): Evidence => body as unknown as Evidence;

describe('GET /v1/refunds/{id}/evidence as JSON', () => {
  it('200 with all that is known of the refund, to every role', async () => {
    const answer = await read();
    expect([answer.status, answer.headers['content-type'], answer.headers['vary']]).toEqual([
      200,
      'application/json; charset=utf-8',
      'Accept',
    ]);
    const evidence = evidenceOf(answer);
    expect(evidence).toMatchObject({
      object: 'refund_evidence',
      generated_at: '2026-03-10T12:00:00.000Z',
      requested_by: 'ana',
      refund: { id: refundId, status: 'succeeded', metadata: { [EVIL]: EVIL, orderId: '1042' } },
      payment: { object: 'payment', amount_refunded: 1_000 },
      policy: { version: policy.version, content: { window: { pix_days: policy.window.pixDays } } },
      votes: [{ round: 1, actor: 'bruno', decision: 'approve', comment: EVIL, proof: 'v1.test.proof' }],
      messages: [{ action: 'approve', actor: 'bruno' }],
      attempts: [
        {
          number: 1,
          amount: 1_000,
          shown_before: { payment_status: 'PAID', refunds: [], complete: true },
          answer: { kind: 'done', provider_refund_id: EVIL },
          conclusion: 'landed',
        },
      ],
      payment_events: [{ type: 'payment_registered', refund_id: null }],
      verification: { result: 'whole', breaks: [] },
    });
    expect(evidence.events.map(({ sequence }) => sequence)).toEqual(evidence.events.map((_, at) => at + 1));
    expect(evidence.events.at(0)?.type).toBe('refund_created');
    expect(evidence.events.at(-1)?.type).toBe('refund_succeeded');
    expect(evidence.events.every(({ mac }) => mac?.startsWith('v1.k1.'))).toBe(true);
  });

  it('answers what the document says', async () => {
    const document = JSON.parse((await door.call('GET', '/openapi.json', { key: null })).text) as {
      paths: Record<string, { get: { responses: Record<string, { content: Record<string, unknown> }> } }>;
    };
    const described = document.paths['/v1/refunds/{id}/evidence']?.get.responses['200']?.content;
    expect(described).toMatchObject({
      'application/json': { schema: { $ref: '#/components/schemas/RefundEvidence' } },
      'text/html': { schema: { type: 'string' } },
    });
    const ajv = new Ajv2020({ strict: false, allErrors: true });
    formats.default(ajv);
    ajv.addSchema(document, 'openapi');
    const validate = ajv.getSchema('openapi#/components/schemas/RefundEvidence')!;
    const { body } = await read();
    expect([validate(body), validate.errors]).toEqual([true, null]);
  });

  it('404 where there is no such refund, 401 without a key', async () => {
    expect((await read(undefined, 'rfd_none')).status).toBe(404);
    expect((await door.call('GET', `/v1/refunds/${refundId}/evidence`, { key: null })).status).toBe(401);
  });

  it('never calls whole what no key has checked', async () => {
    const { verification } = evidenceOf(await read(undefined, refundId, keyless));
    expect(verification).toMatchObject({ result: 'not_covered', covered: 0, unchecked: verification.events });
    expect((await read('text/html', refundId, keyless)).text).toContain(
      'No break was found, but no event is covered',
    );
  });

  it('says so where the trail was changed, and goes on without the policy', async () => {
    const id = await ledger.refund(await ledger.payment());
    await ledger.db.transaction().execute(async (trx) => {
      await sql`SET LOCAL session_replication_role = replica`.execute(trx);
      await sql`UPDATE refund_events SET actor = 'eve' WHERE refund_id = ${id} AND sequence = 1`.execute(trx);
    });
    const evidence = evidenceOf(await read(undefined, id));
    expect(evidence.policy).toEqual({ version: '1', content: null });
    expect(evidence.verification).toMatchObject({
      result: 'broken',
      breaks: [{ trail: 'refund', id, sequence: 1, what: expect.stringContaining('hash does not fit') }],
    });
    const page = await read('text/html', id);
    expect(page.text).toContain('The record is not as it was written');
    expect(page.text).toContain(`refund ${id}, event 1`);
  });
});

describe('GET /v1/refunds/{id}/evidence as a page', () => {
  it('holds no text of anybody as anything but text', async () => {
    const page = await read('text/html');
    expect([page.status, page.headers['content-type']]).toEqual([200, 'text/html; charset=utf-8']);
    expect(page.text).not.toMatch(/<(script|img|iframe|link|object|form)/i);
    expect(page.text).not.toMatch(/\son\w+\s*=\s*["']/i);
    expect(page.text).not.toMatch(/(?!\n)[\p{C}\p{Zl}\p{Zp}]/u);
    const escaped = '&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;';
    // Description, reference, metadata's name and value, the vote's comment, the provider's id.
    expect(page.text.split(escaped).length - 1).toBeGreaterThanOrEqual(6);
  });

  it('lets nothing run and loads nothing: its policy knows the one style by its hash', async () => {
    const page = await read('text/html');
    const style = /<style>([^]*?)<\/style>/.exec(page.text)?.[1] ?? '';
    const hash = createHash('sha256').update(style).digest('base64');
    expect(page.headers['content-security-policy']).toBe(
      `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    );
    expect(page.text).not.toMatch(/<[^>]*\s(src|href|style)=/);
  });

  it('tells a stranger what happened, and shows every hash and MAC', async () => {
    const page = await read('text/html');
    for (const words of [
      'BRL 10.00',
      'The money went back',
      'Asked for; the amount is held',
      'bruno: approve',
      'The provider carried it out.',
      'Yes. Every event is there',
    ]) {
      expect(page.text).toContain(words);
    }
    const { events, payment_events: ofPayment } = evidenceOf(await read());
    for (const { hash, mac } of [...events, ...ofPayment]) {
      expect([page.text.includes(hash), page.text.includes(String(mac))]).toEqual([true, true]);
    }
  });

  it('is given to a browser, and JSON to whoever rather has it or asks for neither', async () => {
    const browser = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';
    const kinds = await Promise.all(
      [browser, 'text/html;q=0.3, application/json;q=0.4', '*/*', 'image/png'].map(
        async (accept) => (await read(accept)).headers['content-type'],
      ),
    );
    const json = 'application/json; charset=utf-8';
    expect(kinds).toEqual(['text/html; charset=utf-8', json, json, json]);
  });
});
