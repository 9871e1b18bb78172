import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { REFUND_STATUSES, type RefundStatus } from './refund.js';
import {
  judgeVote,
  missingApprovals,
  VOTE_DECISIONS,
  type ApprovalRound,
  type Vote,
  type VoteDecision,
  type VoteJudgement,
} from './vote.js';

const END_MS = 1_000;
const NOW_MS = END_MS - 1;

const vote = (actor: string, decision: VoteDecision = 'approve', contentHash = 'now'): Vote => ({
  actor,
  decision,
  contentHash,
});
/** Asked for by ana, opened again by olga, two must agree. */
const round = (changes: Partial<ApprovalRound> = {}): ApprovalRound => ({
  status: 'requires_approval',
  requestedBy: 'ana',
  openedBy: 'olga',
  contentHash: 'now',
  required: 2,
  expiresAtMs: END_MS,
  votes: [],
  ...changes,
});
/** "approves 1", "rejects", "refused already_final". */
function inWords(judgement: VoteJudgement): string {
  const { kind } = judgement;
  const detail = kind === 'approves' ? judgement.missing : kind === 'refused' ? judgement.code : '';
  return `${kind} ${detail}`.trim();
}
const judged = (of: ApprovalRound, given: Vote, nowMs = NOW_MS): string =>
  inWords(judgeVote(of, given, nowMs));

describe('a vote', () => {
  it.each<[string, ApprovalRound, Vote, string]>([
    ['the first of two', round(), vote('bruno'), 'approves 1'],
    ['the last one', round({ votes: [vote('bruno')] }), vote('carla'), 'approves 0'],
    ['the only one', round({ required: 1 }), vote('bruno'), 'approves 0'],
    ['one reject of many', round({ required: 9 }), vote('bruno', 'reject'), 'rejects'],
    ['a reject after an approval', round({ votes: [vote('bruno')] }), vote('carla', 'reject'), 'rejects'],
    ['without an end', round({ expiresAtMs: null }), vote('bruno'), 'approves 1'],
    [
      'of who voted last time',
      round({ votes: [vote('bruno', 'approve', 'before')] }),
      vote('bruno'),
      'approves 1',
    ],
    [
      'of who rejected last time',
      round({ votes: [vote('bruno', 'reject', 'before'), vote('carla', 'approve', 'before')] }),
      vote('bruno'),
      'approves 1',
    ],
    ['of who asked', round(), vote('ana'), 'refused self_approval_forbidden'],
    ['of who asked, against it', round(), vote('ana', 'reject'), 'refused self_approval_forbidden'],
    ['of who opened the round', round(), vote('olga'), 'refused self_approval_forbidden'],
    ['for what it was before', round(), vote('bruno', 'approve', 'before'), 'refused approval_conflict'],
    [
      'of who approved, against it',
      round({ votes: [vote('bruno')] }),
      vote('bruno', 'reject'),
      'refused approval_conflict',
    ],
    [
      'of who voted last time, for what it was then, otherwise',
      round({ votes: [vote('bruno', 'approve', 'before')] }),
      vote('bruno', 'reject', 'before'),
      'refused approval_conflict',
    ],
    ['the same once more', round({ votes: [vote('bruno')] }), vote('bruno'), 'repeated'],
  ])('%s', (_case, of, given, expected) => {
    expect(judged(of, given)).toBe(expected);
  });

  it('counts until the very instant of the end, and not at it', () => {
    expect(judged(round(), vote('bruno'), END_MS - 1)).toBe('approves 1');
    expect(judged(round(), vote('bruno'), END_MS)).toBe('refused already_final');
    expect(judged(round(), vote('bruno', 'reject'), END_MS)).toBe('refused already_final');
  });

  it.each(REFUND_STATUSES.filter((status) => status !== 'requires_approval'))(
    'comes too late for a refund that is %s, and is told so',
    (status) => {
      for (const decision of VOTE_DECISIONS) {
        const judgement = judgeVote(round({ status }), vote('bruno', decision), NOW_MS);
        expect(judgement).toMatchObject({ kind: 'refused', code: 'already_final' });
        expect(JSON.stringify(judgement)).toContain(status);
      }
    },
  );
});

/** One flaw on top of the other: whatever is wrong beside it, the first in this order is said. */
describe('of several reasons to refuse', () => {
  const voted = [vote('ana'), vote('bruno'), vote('olga')];
  const closed: Partial<ApprovalRound> = { status: 'rejected' };

  it('a repeat is told 200 before all: late, closed, and of who may not vote', () => {
    for (const actor of ['ana', 'bruno', 'olga']) {
      expect(judged(round({ ...closed, votes: voted }), vote(actor), END_MS)).toBe('repeated');
    }
  });

  it('what was said in an earlier round is a conflict while people are asked anew, and a repeat after that', () => {
    const votes = [vote('bruno', 'approve', 'before')];
    const again = vote('bruno', 'approve', 'before');
    expect(judged(round({ votes }), again)).toBe('refused approval_conflict');
    expect(judged(round({ votes }), again, END_MS)).toBe('refused already_final');
    expect(judged(round({ votes, status: 'pending' }), again)).toBe('repeated');
    expect(missingApprovals(round({ votes }))).toBe(2);
  });

  it.each<[string, ApprovalRound, Vote, number, string]>([
    [
      'own, closed, late, stale',
      round(closed),
      vote('ana', 'reject', 'before'),
      END_MS,
      'self_approval_forbidden',
    ],
    ['opened, late, stale', round(), vote('olga', 'approve', 'before'), END_MS, 'self_approval_forbidden'],
    ['closed, stale', round(closed), vote('bruno', 'approve', 'before'), NOW_MS, 'already_final'],
    ['late, stale', round(), vote('bruno', 'approve', 'before'), END_MS, 'already_final'],
    [
      'closed, a second one',
      round({ ...closed, votes: voted }),
      vote('bruno', 'reject'),
      NOW_MS,
      'already_final',
    ],
    ['late, a second one', round({ votes: voted }), vote('bruno', 'reject'), END_MS, 'already_final'],
    ['stale', round({ votes: voted }), vote('bruno', 'reject', 'before'), NOW_MS, 'approval_conflict'],
  ])('%s', (_case, of, given, nowMs, code) => {
    expect(judged(of, given, nowMs)).toBe(`refused ${code}`);
  });

  it('the end is named to who is late, and the earlier vote to who changed their mind', () => {
    expect(judgeVote(round(), vote('bruno'), END_MS)).toMatchObject({
      detail: `Votes were possible until ${new Date(END_MS).toISOString()}.`,
    });
    expect(judgeVote(round({ votes: voted }), vote('bruno', 'reject'), NOW_MS)).toMatchObject({
      detail: 'You have voted: approve.',
    });
  });
});

describe('what is missing', () => {
  it.each<[string, Partial<ApprovalRound>, number]>([
    ['all of it', {}, 2],
    ['one', { votes: [vote('bruno')] }, 1],
    ['nothing', { votes: [vote('bruno'), vote('carla')] }, 0],
    ['never less than nothing', { votes: [vote('bruno'), vote('carla'), vote('davi')] }, 0],
    ['a reject fills no place', { votes: [vote('bruno', 'reject')] }, 2],
    ['nor does a vote for what it was before', { votes: [vote('bruno', 'approve', 'before')] }, 2],
    ['nothing where nobody need agree', { required: 0 }, 0],
  ])('%s', (_case, changes, missing) => {
    expect(missingApprovals(round(changes))).toBe(missing);
  });
});

const anyBallot = fc.record({
  actor: fc.constantFrom('ana', 'bruno', 'carla', 'davi', 'elisa', 'olga'),
  decision: fc.constantFrom<VoteDecision>('approve', 'approve', 'approve', 'reject'),
  contentHash: fc.constantFrom('now', 'now', 'now', 'before'),
  atMs: fc.nat({ max: END_MS + 200 }),
});
const anyBallots = fc.array(anyBallot, { maxLength: 20 });

/** Counts the ballots one after the other, in order of time, as the ledger does under its lock. */
function count(of: ApprovalRound, ballots: readonly (Vote & { readonly atMs: number })[]) {
  let status: RefundStatus = of.status;
  const stored: Vote[] = [...of.votes];
  const counted: Vote[] = [];
  for (const { atMs, ...ballot } of ballots.toSorted((one, other) => one.atMs - other.atMs)) {
    const judgement = judgeVote({ ...of, status, votes: stored }, ballot, atMs);
    if (judgement.kind === 'repeated' || judgement.kind === 'refused') continue;
    expect(atMs).toBeLessThan(END_MS);
    stored.push(ballot);
    counted.push(ballot);
    if (judgement.kind === 'rejects') status = 'rejected';
    else if (judgement.missing === 0) status = 'pending';
    if (judgement.kind === 'approves') {
      expect(judgement.missing).toBe(missingApprovals({ ...of, votes: stored }));
    }
  }
  return { status, counted };
}

describe('whoever votes however often, in whatever order', () => {
  const anyRequired = fc.integer({ min: 1, max: 5 });
  /** The round before was agreed on by all of these. */
  const before = ['bruno', 'carla', 'davi', 'elisa'].map((actor) => vote(actor, 'approve', 'before'));

  it('a refund is approved by as many different people as it needs, and never by who asked or opened', () => {
    fc.assert(
      fc.property(anyRequired, anyBallots, (required, ballots) => {
        const { status, counted } = count(round({ required, votes: before }), ballots);
        const people = new Set(counted.map(({ actor }) => actor));
        expect(people.size).toBe(counted.length);
        expect([...people].filter((actor) => actor === 'ana' || actor === 'olga')).toEqual([]);
        const approvals = counted.filter(({ decision }) => decision === 'approve');
        expect(counted.every(({ contentHash }) => contentHash === 'now')).toBe(true);
        if (status === 'pending') expect([approvals.length, counted.length]).toEqual([required, required]);
        else expect(approvals.length).toBeLessThan(required);
      }),
      { numRuns: 500 },
    );
  });

  it('one reject ends it, and nothing counts after that', () => {
    fc.assert(
      fc.property(anyRequired, anyBallots, (required, ballots) => {
        const { status, counted } = count(round({ required }), ballots);
        const rejectedAt = counted.findIndex(({ decision }) => decision === 'reject');
        expect([status === 'rejected', rejectedAt]).toEqual([
          rejectedAt >= 0,
          rejectedAt < 0 ? -1 : counted.length - 1,
        ]);
      }),
      { numRuns: 500 },
    );
  });
});
