/** Mistakes that somebody could make, each as the rules with one or two replaced; the specs alone know them. */
import { approvalEndMs } from '../src/domain/approval.js';
import type { FailureReason } from '../src/domain/refund.js';
import type { Decision, SagaState } from '../src/domain/saga-state.js';
import type { Reading } from './ledger/books.js';
import { REAL_RULES, type Rules } from './rules.js';
import type { ShownRefund } from './provider.js';

export interface PlantedBug {
  readonly name: string;
  /** Where the search begins: the first schedule that finds it out, as the world is now. */
  readonly fromSeed: number;
  readonly rules: Partial<Rules>;
  /** The promise by which it is found out. */
  readonly caughtBy: string;
}

const { decide, findRefund, othersOf, judgeVote, giveBack } = REAL_RULES;

/** The saga's own mistakes, which the ledger's refusals make harmless as long as it keeps to them. */
export const SAGA_BUGS = {
  resendsWithoutReading: (state, seen, nowMs) => {
    const decision = decide(state, seen, nowMs);
    if (seen.kind !== 'submitted' || seen.result.kind !== 'unknown') return decision;
    const attempt = decision.state.attempt + 1;
    return { state: { ...decision.state, stage: 'submitting', attempt }, step: { kind: 'submit', attempt } };
  },
  releasesOnTimeout: (state, seen, nowMs) => {
    const decision = decide(state, seen, nowMs);
    const isTimeout = decision.step.kind === 'review' && seen.kind === 'paused';
    return isTimeout ? failFor(decision.state, 'provider_unavailable') : decision;
  },
  windowEndsWhatIsOpen: (state, seen, nowMs) => {
    const decision = decide(state, seen, nowMs);
    const { stage, terms } = state;
    const isOver = nowMs >= (terms?.submitBeforeMs ?? Infinity);
    const isOpen = stage === 'resolving' || stage === 'confirming';
    return isOver && isOpen && seen.kind === 'paused'
      ? failFor(decision.state, 'refund_window_expired')
      : decision;
  },
  believesEveryRefusal: (state, seen, nowMs) =>
    seen.kind === 'submitted' && seen.result.kind === 'declined'
      ? failFor(state, 'provider_declined')
      : decide(state, seen, nowMs),
  goesAheadWithoutVotes: (state, seen, nowMs) => {
    if (seen.kind !== 'admitted' && seen.kind !== 'resumed') return decide(state, seen, nowMs);
    const { approval: _, ...unasked } = seen;
    return decide(state, unasked, nowMs);
  },
} satisfies Record<string, Rules['decide']>;

export function plantedBugs(): readonly PlantedBug[] {
  return [
    {
      name: 'resend without reading',
      fromSeed: 4,
      rules: {
        decide: SAGA_BUGS.resendsWithoutReading,
        mayClaimAfter: () => true,
      },
      caughtBy: 'nothing is sent again that has had an effect',
    },
    {
      name: 'release on timeout',
      fromSeed: 11,
      rules: { decide: SAGA_BUGS.releasesOnTimeout, mayRelease: () => true },
      caughtBy: 'nothing is given back while an attempt is open or has landed',
    },
    {
      name: 'adopt by amount with two candidates',
      fromSeed: 167,
      rules: {
        findRefund: (attempt, now, others) => {
          const match = findRefund(attempt, now, others);
          if (match.kind !== 'cannotTell') return match;
          const refund = now.refunds.find(
            ({ amountMinor, providerRefundId }) =>
              amountMinor === attempt.amountMinor && !others.claimedIds.has(providerRefundId ?? ''),
          );
          return refund ? { kind: 'found', refund, matchedBy: 'amount' } : match;
        },
      },
      caughtBy: 'nothing is adopted by its amount where two entries could be ours',
    },
    {
      name: 'drop candidates by time',
      fromSeed: 2,
      rules: {
        findRefund: (attempt, now, others) => {
          const { refunds, readAtMs } = attempt.before as Reading;
          const isKnown = (id: string | null): boolean => refunds.some((was) => was.providerRefundId === id);
          const inTime = (now.refunds as readonly ShownRefund[]).filter(
            ({ shownAtMs, providerRefundId }) => shownAtMs >= readAtMs || isKnown(providerRefundId),
          );
          return findRefund(attempt, { ...now, refunds: inTime }, others);
        },
      },
      caughtBy: 'money that moves at the provider is landed or open in the books',
    },
    {
      name: 'accept a stale snapshot',
      fromSeed: 21,
      rules: { isUsable: () => true },
      caughtBy: 'no entry is adopted by two refunds',
    },
    {
      name: 'take a panel refund of the same amount for ours',
      fromSeed: 162,
      rules: {
        findRefund: ({ before, ...attempt }, now, others) =>
          findRefund({ ...attempt, before: { status: before.status, refunds: [] } }, now, others),
      },
      caughtBy: 'a refund made by others is never taken for ours where the reading tells',
    },
    {
      name: 'window expiry over an open attempt',
      fromSeed: 14,
      rules: { decide: SAGA_BUGS.windowEndsWhatIsOpen, mayRelease: () => true },
      caughtBy: 'nothing is given back while an attempt is open or has landed',
    },
    {
      name: 'believe every refusal',
      fromSeed: 1_020,
      rules: { decide: SAGA_BUGS.believesEveryRefusal, mayRelease: () => true },
      caughtBy: 'nothing is given back while an attempt is open or has landed',
    },
    {
      name: 'send again on a claim that is taken',
      fromSeed: 1,
      rules: { maySendAgain: (_, { conclusion }) => conclusion === null },
      caughtBy: 'only a key makes a repeat harmless',
    },
    {
      name: 'settle twice',
      fromSeed: 8,
      rules: {
        isClosed: ({ status }) => status !== 'succeeded' && REAL_RULES.isClosed({ status } as never),
        maySettle: (_, attempts) => attempts.some(({ conclusion }) => conclusion === 'landed'),
      },
      caughtBy: 'reserved and refunded are the sums of the refunds, each counted once',
    },
    {
      name: 'lower what left without us by an older reading',
      fromSeed: 1_031,
      rules: { mayLowerExternal: () => true },
      caughtBy: 'what was seen to have left stays counted for as long as it is true',
    },
    {
      name: 'call it absent after one reading',
      fromSeed: 7,
      rules: { absenceProven: (reads) => reads.length > 0 },
      caughtBy: 'money that moves at the provider is landed or open in the books',
    },
    {
      name: 'take a cut list for a whole one',
      fromSeed: 196,
      rules: {
        findRefund: (attempt, now, others) => findRefund(attempt, { ...now, complete: true }, others),
      },
      caughtBy: 'money that moves at the provider is landed or open in the books',
    },
    {
      name: 'forget the lane',
      fromSeed: 65,
      rules: { hasLane: () => true },
      caughtBy: 'one open attempt a payment where there is no key',
    },
    {
      name: 'forget in a total what has an id',
      fromSeed: 182,
      rules: {
        othersOf: (attempt, standing, reading) => {
          const { totalOnlyMinor: _, ...listed } = reading;
          const { totalOnlyMinor: __, ...before } = attempt.snapshot;
          return othersOf({ ...attempt, snapshot: before }, standing, listed);
        },
      },
      caughtBy: 'no entry is adopted by two refunds',
    },
    {
      name: 'take a rejected entry of the amount for ours at once',
      fromSeed: 5_604,
      rules: { isRejectionFinal: () => true },
      caughtBy: 'money that moves at the provider is landed or open in the books',
    },
    {
      name: 'look again without a pause',
      fromSeed: 4,
      rules: {
        decide: (state, seen, nowMs) => {
          const decision = decide(state, seen, nowMs);
          return decision.step.kind === 'pause' && decision.state.stage === 'resolving'
            ? { ...decision, step: { kind: 'look' } }
            : decision;
        },
      },
      caughtBy: 'nothing is asked again and again without a pause',
    },
    {
      name: 'stay in review for ever',
      fromSeed: 86,
      rules: {
        decide: (state, seen, nowMs) =>
          state.stage === 'review' && seen.kind === 'looked'
            ? { state, step: { kind: 'pause', ms: 60_000, why: 'outcome_unknown' } }
            : decide(state, seen, nowMs),
      },
      caughtBy: 'a refund that can be told leaves review by itself',
    },
    {
      name: 'claim without the votes',
      fromSeed: 4,
      rules: {
        decide: SAGA_BUGS.goesAheadWithoutVotes,
        mayClaim: ({ status }) => status === 'pending' || status === 'requires_approval',
      },
      caughtBy: 'nothing is claimed for a refund without its votes',
    },
    {
      name: 'fail what people are asked about',
      fromSeed: 9_280,
      rules: { decide: SAGA_BUGS.goesAheadWithoutVotes, isProcessToFail: () => true },
      caughtBy: 'what was never sent waits for people or time',
    },
    {
      name: 'count the requester’s own vote',
      fromSeed: 14,
      rules: {
        judgeVote: (round, vote, nowMs) =>
          judgeVote({ ...round, requestedBy: '', openedBy: null }, vote, nowMs),
      },
      caughtBy: 'a vote of the requester never counts',
    },
    {
      name: 'count the votes of another round',
      fromSeed: 35,
      rules: {
        judgeVote: ({ contentHash, ...round }, vote, nowMs) => {
          const votes = round.votes.map((other) => ({ ...other, contentHash }));
          return judgeVote({ ...round, contentHash, votes }, { ...vote, contentHash }, nowMs);
        },
      },
      caughtBy: 'nothing is claimed for a refund without its votes',
    },
    {
      name: 'count a person twice',
      fromSeed: 4,
      rules: {
        judgeVote: (round, vote, nowMs) => {
          const votes = round.votes.filter(({ actor }) => actor !== vote.actor);
          return judgeVote({ ...round, votes }, vote, nowMs);
        },
      },
      caughtBy: 'nobody votes twice in one round',
    },
    {
      name: 'cancel over an open attempt',
      fromSeed: 5,
      rules: { mayCancel: () => true },
      caughtBy: 'what people or time ended has no attempt that could move money',
    },
    {
      name: 'cancel what is about to be sent',
      fromSeed: 413,
      rules: {
        mayCancel: (attempts) => {
          for (const attempt of attempts) if (!attempt.answer) attempt.conclusion ??= 'not_sent';
          return REAL_RULES.mayCancel(attempts);
        },
      },
      caughtBy: 'what was canceled is never sent',
    },
    {
      name: 'reject or expire over an open attempt',
      fromSeed: 1_632,
      rules: { mayEnd: () => true },
      caughtBy: 'what people or time ended has no attempt that could move money',
    },
    {
      name: 'end a refund and keep its reservation',
      fromSeed: 4,
      rules: { giveBack: () => undefined },
      caughtBy: 'what people or time ended gives its reservation back',
    },
    {
      name: 'give a reservation back twice',
      fromSeed: 4,
      rules: {
        giveBack: (books, refund) => {
          giveBack(books, refund);
          giveBack(books, refund);
        },
      },
      caughtBy: 'reserved and refunded are the sums of the refunds, each counted once',
    },
    {
      name: 'expire in spite of an extension',
      fromSeed: 880,
      rules: {
        isApprovalOver: ({ approvalPolicy }, { approval, submitBeforeMs }, nowMs) =>
          nowMs >=
          approvalEndMs(approval?.requestedAtMs ?? 0, approvalPolicy?.expiresAfterMs ?? 0, submitBeforeMs),
      },
      caughtBy: 'nothing expires before its end',
    },
    {
      name: 'let an older word of the votes overwrite a newer one',
      fromSeed: 2_694,
      rules: { isNews: () => true },
      caughtBy: 'nobody goes on waiting for votes that are in',
    },
    {
      name: 'forget the end of an approval',
      fromSeed: 14,
      rules: {
        decide: (state, seen, nowMs) => {
          const decision = decide(state, seen, nowMs);
          return decision.step.kind === 'expire' ? sleep(decision.state) : decision;
        },
      },
      caughtBy: 'an approval that is open past its end is ended',
    },
    {
      name: 'escalate to nobody',
      fromSeed: 44,
      rules: {
        decide: (state, seen, nowMs) => {
          const decision = decide(state, seen, nowMs);
          const { step } = decision;
          const isEscalation = step.kind === 'remind' && step.of.kind === 'escalation';
          return isEscalation ? decide(decision.state, { kind: 'reminded' }, nowMs) : decision;
        },
      },
      caughtBy: 'nobody waits for votes in silence',
    },
  ];
}

function sleep(state: SagaState): Decision {
  return { state, step: { kind: 'pause', ms: 3_600_000, why: 'requires_approval' } };
}

function failFor(state: SagaState, reason: FailureReason): Decision {
  return { state: { ...state, stage: 'closing' }, step: { kind: 'compensate', reason } };
}
