import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { FAILURES_TO_OPEN, type CallResult, type Operation } from '../src/domain/breaker.js';
import {
  dueParked,
  mayCall,
  reportCall,
  returnProbe,
  showShut,
  type Asking,
  type Gate,
  type Permit,
} from '../src/ledger/provider-gates.js';
import { recordNotNow } from '../src/ledger/answers.js';
import { pauseProvider, resumeProvider } from '../src/ledger/provider-switches.js';
import { openLedger, START_MS, unknown, type LedgerScene } from './setup/ledger-scene.js';

const RETRY_MAX_MS = 60_000;
const PROBE_MS = 10_000;
const DAY_MS = 86_400_000;

let scene: LedgerScene;
let named = 0;
beforeAll(async () => {
  scene = await openLedger();
});
afterAll(() => scene.close());

/** Each case has a provider of its own, so that none troubles another. */
const newProvider = (): string => `provider-${(named += 1)}`;

const ask = (provider: string, operation: Operation, nowMs: number, more: Partial<Asking> = {}) =>
  mayCall(scene.db, {
    provider,
    operation,
    nowMs,
    mayProbe: true,
    probeMs: PROBE_MS,
    retryMaxMs: RETRY_MAX_MS,
    ...more,
  });
const report = (permit: Permit, kind: 'answered' | 'failed', nowMs: number) =>
  reportCall(scene.db, permit, { kind }, { retryMaxMs: RETRY_MAX_MS, nowMs });

function permitOf(gate: Gate): Permit {
  if (gate.kind !== 'open') throw new Error(`shut: ${JSON.stringify(gate)}`);
  return gate.permit;
}

/** @returns when its first probe is due. */
async function openBreaker(provider: string, operation: Operation, nowMs = START_MS): Promise<number> {
  for (let failure = 0; failure < FAILURES_TO_OPEN; failure += 1) {
    await report(permitOf(await ask(provider, operation, nowMs)), 'failed', nowMs);
  }
  return nowMs + 1_000;
}

async function closeBreaker(provider: string, operation: Operation, nowMs: number): Promise<void> {
  await report(permitOf(await ask(provider, operation, nowMs)), 'answered', nowMs);
}

const breakerRow = (provider: string) =>
  scene.db.selectFrom('breakers').selectAll().where('provider', '=', provider).execute();

describe('the gate to a provider', () => {
  it('writes nothing while all is well', async () => {
    const provider = newProvider();
    const permit = permitOf(await ask(provider, 'submit', START_MS));
    expect(await report(permit, 'answered', START_MS)).toBeNull();
    expect(await breakerRow(provider)).toEqual([]);
  });

  it('shuts with five failures in a row, whichever workers saw them', async () => {
    const provider = newProvider();
    const permits = await Promise.all(
      Array.from({ length: FAILURES_TO_OPEN }, async () => permitOf(await ask(provider, 'read', START_MS))),
    );
    const changes = await Promise.all(permits.map((permit) => report(permit, 'failed', START_MS)));
    expect(changes.filter((change) => change === 'opened')).toHaveLength(1);
    expect(await ask(provider, 'read', START_MS + 1)).toEqual({
      kind: 'shut',
      why: 'breaker',
      sinceMs: START_MS,
      retryAfterMs: 999,
    });
  });

  it('gives one probe to many who ask at once, and another only when that one is over', async () => {
    const provider = newProvider();
    const dueMs = await openBreaker(provider, 'read');
    const gates = await Promise.all(Array.from({ length: 8 }, () => ask(provider, 'read', dueMs)));
    const probes = gates.filter((gate) => gate.kind === 'open');
    expect(probes).toHaveLength(1);
    expect((await ask(provider, 'read', dueMs + PROBE_MS - 1)).kind).toBe('shut');
    // Its worker died: nothing was reported.
    const second = permitOf(await ask(provider, 'read', dueMs + PROBE_MS));
    expect(await report(second, 'failed', dueMs + PROBE_MS)).toBeNull();
    expect((await ask(provider, 'read', dueMs + PROBE_MS + 1_999)).kind).toBe('shut');
    const third = permitOf(await ask(provider, 'read', dueMs + PROBE_MS + 2_000));
    expect(await report(third, 'answered', dueMs + PROBE_MS + 2_001)).toBe('closed');
    expect(permitOf(await ask(provider, 'read', dueMs + PROBE_MS + 2_002)).probeUntilMs).toBeNull();
  });

  it('takes back a probe that came to no call, but none that was reported', async () => {
    const provider = newProvider();
    const dueMs = await openBreaker(provider, 'submit');
    const unused = permitOf(await ask(provider, 'submit', dueMs));
    await returnProbe(scene.db, unused, dueMs + 5);
    const used = permitOf(await ask(provider, 'submit', dueMs + 5));
    await report(used, 'failed', dueMs + 6);
    await returnProbe(scene.db, used, dueMs + 7);
    expect((await ask(provider, 'submit', dueMs + 8)).kind).toBe('shut');
  });

  it('shuts submits where reads are shut, and reads never because of submits', async () => {
    const provider = newProvider();
    const dueMs = await openBreaker(provider, 'submit');
    expect((await ask(provider, 'read', START_MS + 1)).kind).toBe('open');
    expect((await ask(provider, 'submit', START_MS + 1)).kind).toBe('shut');
    // A reading that works says nothing of submits.
    await closeBreaker(provider, 'read', START_MS + 2);
    expect((await ask(provider, 'submit', START_MS + 3)).kind).toBe('shut');
    await closeBreaker(provider, 'submit', dueMs);
    await openBreaker(provider, 'read', dueMs);
    expect((await ask(provider, 'submit', dueMs + 1)).kind).toBe('shut');
  });

  it('holds reads, and submits with them, for as long as the provider asks', async () => {
    const provider = newProvider();
    const limited: CallResult = { kind: 'limited', retryAfterMs: 7_000 };
    const permit = permitOf(await ask(provider, 'read', START_MS));
    await reportCall(scene.db, permit, limited, { retryMaxMs: RETRY_MAX_MS, nowMs: START_MS });
    for (const operation of ['read', 'submit'] as const) {
      expect(await ask(provider, operation, START_MS + 1_000)).toEqual({
        kind: 'shut',
        why: 'hold',
        sinceMs: null,
        retryAfterMs: 6_000,
      });
      expect((await ask(provider, operation, START_MS + 7_000)).kind).toBe('open');
    }
  });

  it('keeps a paused provider from being sent anything, and lets it be read', async () => {
    const provider = newProvider();
    const change = { provider, actor: 'olga', reason: 'odd amounts', requestId: null, nowMs: START_MS };
    await scene.db.transaction().execute((trx) => pauseProvider(trx, change));
    expect(await ask(provider, 'submit', START_MS + 1)).toMatchObject({ why: 'paused', sinceMs: START_MS });
    expect((await ask(provider, 'read', START_MS + 1)).kind).toBe('open');
    await scene.db.transaction().execute((trx) => resumeProvider(trx, change));
    expect((await ask(provider, 'submit', START_MS + 1)).kind).toBe('open');
  });
});

describe('refunds that waited for a provider', () => {
  const error = { code: 'breaker_open', message: 'down' };

  /** Parked refunds, the later the deadline the earlier in the list; their ids in order of deadline. */
  async function park(provider: string, count: number): Promise<string[]> {
    const ids: string[] = [];
    for (let number = count; number > 0; number -= 1) {
      const paymentId = await scene.payment({ provider });
      const deadlineMs = START_MS + number * DAY_MS;
      const window = number === count ? null : { deadlineMs, submitBeforeMs: deadlineMs };
      const id = await scene.refund(paymentId, { window });
      await recordNotNow(scene.db, {
        refundId: id,
        reason: 'provider_unavailable',
        error,
        retryAfterMs: null,
        nowMs: START_MS,
      });
      ids.unshift(id);
    }
    return ids;
  }

  const askFor = async (refundId: string, provider: string, nowMs: number) =>
    ask(provider, 'submit', nowMs, { refund: await scene.refundRow(refundId) });

  it('go on in order of deadline, without one last, and nobody waits for one that never comes', async () => {
    const provider = newProvider();
    const inOrder = await park(provider, 5);
    const upMs = await openBreaker(provider, 'read');
    await closeBreaker(provider, 'read', upMs);
    // Those whose turns are near are woken already, and line up.
    expect(await dueParked(scene.db, provider, upMs, 100)).toEqual(inOrder);
    expect(await dueParked(scene.db, provider, upMs, 2)).toEqual(inOrder.slice(0, 2));
    const last = await askFor(inOrder[4]!, provider, upMs);
    expect(last).toEqual({ kind: 'shut', why: 'turn', sinceMs: upMs, retryAfterMs: 2_500 });

    // The first is dead and stays parked; all others get their turns all the same, one after the other.
    const turns = await Promise.all(
      inOrder.map(async (id) => {
        const gate = await askFor(id, provider, upMs);
        return gate.kind === 'shut' ? gate.retryAfterMs : 0;
      }),
    );
    expect(turns).toEqual([...turns].sort((one, other) => one - other));
    expect(new Set(turns).size).toBe(5);
    expect((await askFor(inOrder[0]!, provider, upMs + 1_500)).kind).toBe('open');
    expect((await askFor(inOrder[4]!, provider, upMs + 2_499)).kind).toBe('shut');
    expect((await askFor(inOrder[4]!, provider, upMs + 2_500)).kind).toBe('open');
  });

  it('let another one make each probe: one bad payment would fail every one of them', async () => {
    const provider = newProvider();
    const inOrder = await park(provider, 3);
    const dueMs = await openBreaker(provider, 'read');
    expect(await dueParked(scene.db, provider, dueMs - 1, 100)).toEqual([]);
    const probers = new Set<string>();
    for (let failedProbes = 0; failedProbes < 20; failedProbes += 1) {
      await scene.db
        .updateTable('breakers')
        .set({ failed_probes: failedProbes })
        .where('provider', '=', provider)
        .execute();
      const [prober, ...more] = await dueParked(scene.db, provider, dueMs, 100);
      expect(more).toEqual([]);
      probers.add(prober!);
    }
    expect([...probers].sort()).toEqual([...inOrder].sort());
    expect((await askFor(inOrder[2]!, provider, dueMs)).kind).toBe('open');
  });

  it('are not held up by the line when they did not wait in it, or long after', async () => {
    const provider = newProvider();
    const inOrder = await park(provider, 2);
    const upMs = await openBreaker(provider, 'read');
    await closeBreaker(provider, 'read', upMs);
    const fresh = await scene.refund(await scene.payment({ provider }));
    expect((await askFor(fresh, provider, upMs)).kind).toBe('open');
    expect((await askFor(inOrder[1]!, provider, upMs + 120_001)).kind).toBe('open');
    expect(await dueParked(scene.db, provider, upMs + 120_001, 100)).toEqual([]);
  });

  it('stay where they are while their provider is paused, and go on from its release', async () => {
    const provider = newProvider();
    const inOrder = await park(provider, 2);
    const change = { provider, actor: 'olga', reason: '', requestId: null };
    await scene.db.transaction().execute((trx) => pauseProvider(trx, { ...change, nowMs: START_MS }));
    expect(await dueParked(scene.db, provider, START_MS + 1, 100)).toEqual([]);
    await scene.db
      .transaction()
      .execute((trx) => resumeProvider(trx, { ...change, nowMs: START_MS + 5_000 }));
    expect(await dueParked(scene.db, provider, START_MS + 6_200, 100)).toEqual(inOrder);
  });

  it('are looked at again once their provider answers, where an outcome was open meanwhile', async () => {
    const provider = newProvider();
    const open = await scene.refund(await scene.payment({ provider }));
    await scene.submit(open, unknown());
    const putOff = await scene.refund(await scene.payment({ provider }));
    await scene.submit(putOff, unknown(600_000));
    const upMs = await openBreaker(provider, 'read', START_MS + 10_000);
    expect(await dueParked(scene.db, provider, upMs, 100)).toEqual([]);
    await closeBreaker(provider, 'read', upMs);
    expect(await dueParked(scene.db, provider, upMs + 1, 100)).toEqual([open]);
    await scene.look(open, [], { nowMs: upMs + 2 });
    expect(await dueParked(scene.db, provider, upMs + 3, 100)).toEqual([]);
  });

  it('say what they wait for now, once', async () => {
    const provider = newProvider();
    const [id] = await park(provider, 1);
    const paused = { code: 'provider_paused', message: 'paused' };
    for (const _ of [1, 2]) await showShut(scene.db, await scene.refundRow(id!), paused, START_MS);
    expect(await scene.refundRow(id!)).toMatchObject({
      pending_reason: 'provider_unavailable',
      provider_error: paused,
    });
    const types = await scene.eventTypes({ refundId: id! });
    expect(types.filter((type) => type === 'submit_postponed')).toHaveLength(2);
  });
});
