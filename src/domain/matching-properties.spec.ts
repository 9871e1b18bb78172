import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { explainRefunds, findRefund, type AttemptView, type OtherRefunds } from './matching.js';
import type { PaymentSnapshot, ProviderRefund, ProviderRefundStatus } from './provider.js';

const OURS_MINOR = 100;

/** "a:100" has the id a; ":100" has none, as at a provider that gives its refunds no ids. */
function entry(text: string, status: ProviderRefundStatus = 'succeeded'): ProviderRefund {
  const [id, amount] = text.split(':');
  return { providerRefundId: id || null, amountMinor: Number(amount), status, providerStatus: status };
}
function shown(
  entries: readonly (string | ProviderRefund)[],
  changes: Partial<PaymentSnapshot> = {},
): PaymentSnapshot {
  return {
    status: 'refundable',
    providerStatus: 'paid',
    providerPaymentReference: null,
    amountMinor: null,
    amountMayBeReduced: false,
    currency: null,
    method: null,
    paidAtMs: null,
    refunds: entries.map((each) => (typeof each === 'string' ? entry(each) : each)),
    complete: true,
    ...changes,
  };
}
function attempt(before: readonly string[], changes: Partial<AttemptView> = {}): AttemptView {
  const view = { amountMinor: OURS_MINOR, before: shown(before), providerRefundId: null, accepted: false };
  return { ...view, onlyOneRefund: false, ...changes };
}
function others(changes: Partial<OtherRefunds> = {}): OtherRefunds {
  return {
    claimedIds: new Set(),
    landedSinceMinor: [],
    landedAroundMinor: [],
    anotherIsOpen: false,
    ...changes,
  };
}

describe('whatever a provider shows', () => {
  const amountMinor = fc.constantFrom(OURS_MINOR, OURS_MINOR, 30, 70);
  const status = fc.constantFrom<ProviderRefundStatus>(
    'succeeded',
    'processing',
    'rejected',
    'unclear',
    'unknown',
  );
  /** Entries with ids of their own, or with none, as the provider is. */
  const entries = (prefix: string): fc.Arbitrary<ProviderRefund[]> =>
    fc
      .array(fc.tuple(amountMinor, status, fc.boolean()), { maxLength: 4 })
      .map((rows) =>
        rows.map(([minor, word, withId], at) => entry(`${withId ? `${prefix}${at}` : ''}:${minor}`, word)),
      );
  const world = fc.record({
    before: entries('before'),
    added: entries('new'),
    claimed: entries('claimed').map((rows) => rows.filter((each) => each.providerRefundId !== null)),
    vanished: fc.nat({ max: 1 }),
    accepted: fc.boolean(),
    onlyOneRefund: fc.boolean(),
    seed: fc.nat(),
  });
  const look = (seen: {
    before: ProviderRefund[];
    now: ProviderRefund[];
    claimed: ProviderRefund[];
    accepted: boolean;
    onlyOneRefund: boolean;
  }) =>
    findRefund(
      attempt([], { ...seen, before: shown(seen.before) }),
      shown(seen.now),
      others({ claimedIds: new Set(seen.claimed.flatMap((each) => each.providerRefundId ?? [])) }),
    );

  it('is found only where exactly one entry is new and no other refund owns it', () => {
    fc.assert(
      fc.property(world, ({ before, added, claimed, seed, ...rest }) => {
        const match = look({
          before,
          now: shuffled([...before, ...claimed, ...added], seed),
          claimed,
          ...rest,
        });
        if (match.kind === 'found') {
          expect(added).toHaveLength(1);
          expect(match.refund.amountMinor).toBe(OURS_MINOR);
          const ended = match.refund.status === 'succeeded' || match.refund.status === 'rejected';
          if (ended) expect(match.refund.status).toBe(added[0]?.status);
          expect([...before, ...claimed].map((each) => each.providerRefundId ?? '')).not.toContain(
            match.refund.providerRefundId,
          );
        } else if (match.kind === 'absent') {
          expect(added).toHaveLength(0);
        } else {
          expect(['cannotTell', 'otherAmount']).toContain(match.kind);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('takes nothing for ours that was there before, though it went on and got an id', () => {
    fc.assert(
      fc.property(
        world,
        fc.infiniteStream(fc.tuple(status, fc.boolean())),
        ({ before, claimed, seed, ...rest }, changes) => {
          const since = before.map((each, at) => {
            const [word, named] = changes.next().value;
            return {
              ...each,
              status: each.status === 'succeeded' || each.status === 'rejected' ? each.status : word,
              providerRefundId: each.providerRefundId ?? (named ? `late${at}` : null),
            };
          });
          const { kind } = look({ before, now: shuffled([...since, ...claimed], seed), claimed, ...rest });
          // Either may be the one that had no id, and then the other is ours.
          const mayHideOurs =
            claimed.some((each) => each.amountMinor === OURS_MINOR) &&
            before.some(
              (each) =>
                each.amountMinor === OURS_MINOR &&
                each.providerRefundId === null &&
                each.status !== 'succeeded' &&
                each.status !== 'rejected',
            );
          expect(mayHideOurs ? ['absent', 'cannotTell'] : ['absent']).toContain(kind);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('proves nothing by a reading that lacks what was shown before', () => {
    fc.assert(
      fc.property(world, ({ before, added, claimed, seed, ...rest }) => {
        fc.pre(before.length > 0);
        const kept = shuffled(before, seed).slice(1);
        const gone = before.filter((each) => !kept.includes(each))[0];
        // An entry without id could be taken for one of the new ones; then nothing visibly vanished.
        fc.pre(
          gone !== undefined &&
            (gone.providerRefundId !== null ||
              ![...added, ...claimed].some((each) => each.amountMinor === gone.amountMinor)),
        );
        expect(look({ before, now: [...kept, ...claimed, ...added], claimed, ...rest }).kind).toBe(
          'incomplete',
        );
      }),
      { numRuns: 2_000 },
    );
  });

  it('is read the same in whatever order it comes: nothing but ids and amounts plays a role', () => {
    fc.assert(
      fc.property(world, ({ before, added, claimed, seed, ...rest }) => {
        const now = [...before, ...claimed, ...added];
        const one = look({ before, now, claimed, ...rest });
        const other = look({
          before: shuffled(before, seed + 1),
          now: shuffled(now, seed),
          claimed,
          ...rest,
        });
        expect(other.kind).toBe(one.kind);
        if (other.kind === 'found') expect(other).toEqual(one);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('explaining what a provider shows', () => {
  /** An id stands for one refund with one amount; entries without an id come in any number. */
  const rows = fc.tuple(
    fc.subarray(['a:10', 'b:20', 'c:10', 'd:20']),
    fc.array(fc.constantFrom(':10', ':20'), { maxLength: 4 }),
    fc.nat(),
  );
  const listed = rows.map(([named, nameless, seed]) => shuffled([...named, ...nameless], seed));

  it('counts nothing twice: each entry is external or explains one refund of ours', () => {
    fc.assert(
      fc.property(listed, listed, (texts, known) => {
        const shownNow = texts.map((text) => entry(text));
        const ours = known.map((text, at) => ({ ...entry(text), refundId: `rfd_${at}` }));
        const { external, externalMinor, missing } = explainRefunds(shownNow, ours);

        expect(externalMinor).toBe(sum(external));
        expect(external.every((each) => shownNow.includes(each))).toBe(true);
        expect(new Set(external).size).toBe(external.length);
        expect(externalMinor + sum(ours) - sum(missing)).toBe(sum(shownNow));
      }),
      { numRuns: 2_000 },
    );
  });

  it('explains the same amounts in whatever order they come', () => {
    fc.assert(
      fc.property(listed, listed, fc.nat(), (texts, known, seed) => {
        const shownNow = texts.map((text) => entry(text));
        const ours = known.map((text, at) => ({ ...entry(text), refundId: `rfd_${at}` }));
        const one = explainRefunds(shownNow, ours);
        const other = explainRefunds(shuffled(shownNow, seed), shuffled(ours, seed + 1));
        expect([other.externalMinor, other.missing.length]).toEqual([one.externalMinor, one.missing.length]);
      }),
      { numRuns: 2_000 },
    );
  });
});

function sum(rows: readonly { amountMinor: number }[]): number {
  return rows.reduce((total, row) => total + row.amountMinor, 0);
}

/** A seeded Fisher-Yates. */
function shuffled<T>(list: readonly T[], seed: number): T[] {
  const out = [...list];
  let state = seed + 1;
  for (let at = out.length - 1; at > 0; at -= 1) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    const other = state % (at + 1);
    [out[at], out[other]] = [out[other] as T, out[at] as T];
  }
  return out;
}
