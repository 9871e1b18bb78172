/** What a person's vote does to an approval, whatever carries it. */
import type { RefundStatus } from './refund.js';

export const VOTE_DECISIONS = ['approve', 'reject'] as const;
export type VoteDecision = (typeof VOTE_DECISIONS)[number];

/** `canceled`: the round ended before it was decided. */
export const APPROVAL_STATES = ['pending', 'approved', 'rejected', 'expired', 'canceled'] as const;
export type ApprovalState = (typeof APPROVAL_STATES)[number];

export interface Vote {
  readonly actor: string;
  readonly decision: VoteDecision;
  /** What the person saw and agreed to; the round is part of it. */
  readonly contentHash: string;
}

/** A refund as a vote is judged by it. */
export interface ApprovalRound {
  readonly status: RefundStatus;
  readonly requestedBy: string;
  /** Who asked for this round: the requester, or who ordered the resend. */
  readonly openedBy: string | null;
  readonly contentHash: string;
  readonly required: number;
  readonly expiresAtMs: number | null;
  /** Of every round. */
  readonly votes: readonly Vote[];
}

export type VoteRefusalCode = 'self_approval_forbidden' | 'already_final' | 'approval_conflict';

export type VoteJudgement =
  /** `missing` more are needed after it. */
  | { readonly kind: 'approves'; readonly missing: number }
  | { readonly kind: 'rejects' }
  /** The same person has said the same of the same before: an answer was lost. Of an earlier round it is no vote now. */
  | { readonly kind: 'repeated' }
  | { readonly kind: 'refused'; readonly code: VoteRefusalCode; readonly detail: string };

/** One reject ends it; each person votes once; nobody votes about what they asked for. Pure. */
export function judgeVote(round: ApprovalRound, vote: Vote, nowMs: number): VoteJudgement {
  const own = round.votes.find(
    ({ actor, contentHash }) => actor === vote.actor && contentHash === vote.contentHash,
  );
  const isPresent = vote.contentHash === round.contentHash || round.status !== 'requires_approval';
  if (isPresent && own?.decision === vote.decision) return { kind: 'repeated' };
  if (vote.actor === round.requestedBy || vote.actor === round.openedBy) {
    return refused('self_approval_forbidden', 'Somebody else must decide about what you asked for.');
  }
  if (round.status !== 'requires_approval') {
    return refused('already_final', `The refund is ${round.status}: there is nothing to vote on.`);
  }
  if (round.expiresAtMs !== null && nowMs >= round.expiresAtMs) {
    return refused(
      'already_final',
      `Votes were possible until ${new Date(round.expiresAtMs).toISOString()}.`,
    );
  }
  if (vote.contentHash !== round.contentHash) {
    return refused('approval_conflict', 'The content_hash is another: look at the refund again.');
  }
  if (own) return refused('approval_conflict', `You have voted: ${own.decision}.`);
  if (vote.decision === 'reject') return { kind: 'rejects' };
  return { kind: 'approves', missing: missingApprovals(round) - 1 };
}

/** How many more approvals the round needs. */
export function missingApprovals({
  required,
  contentHash,
  votes,
}: Pick<ApprovalRound, 'required' | 'contentHash' | 'votes'>): number {
  const given = votes.filter((vote) => vote.contentHash === contentHash && vote.decision === 'approve');
  return Math.max(0, required - given.length);
}

function refused(code: VoteRefusalCode, detail: string): VoteJudgement {
  return { kind: 'refused', code, detail };
}
