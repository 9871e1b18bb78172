/**
 * What people said of refunds, and were told, against what the ledger keeps and against what was sent. Pure.
 */
import { missingIn, type Course, type Round } from './approval-course.js';
import { APPROVALS_BY_TOTAL, APPROVERS, REQUESTER } from './site.js';
import type { Discrepancy, DiscrepancyKind, MessageStory, VoteStory } from './stories.js';

export interface ApprovalBooks {
  /** By refund. */
  readonly courses: ReadonlyMap<string, Course>;
  readonly votes: readonly VoteStory[];
  readonly messages: readonly MessageStory[];
}

export function compareApprovals(books: ApprovalBooks): Discrepancy[] {
  return [
    ...[...books.courses.values()].flatMap((course) => judgeCourse(course, books)),
    ...books.messages.flatMap((message) => judgeMessage(message, books)),
  ];
}

/** What the trail of one refund shows of votes, calls and ends. */
function judgeCourse(course: Course, { votes, messages }: ApprovalBooks): Discrepancy[] {
  const found = finding(course);
  const { say } = found;
  const totalMinor = course.amountMinor + course.heldMinor;
  const needed = approvalsFor(totalMinor);
  const asked = course.rounds.length === 0 ? [0] : course.rounds.map(({ required }) => required);
  if (asked.some((required) => required !== needed)) {
    say(
      'approvals_miscounted',
      `${asked.join(', ')} asked for; of ${totalMinor} the policy asks for ${needed}`,
    );
  }
  for (const { missing } of course.claims) {
    if (missing > 0) say('sent_without_votes', `${missing} were missing when it was sent`);
  }
  for (const round of course.rounds) judgeRound(round, course.requester, say);
  const again = course.reminders.find((reminder, at) => course.reminders.indexOf(reminder) !== at);
  if (again !== undefined) say('told_twice', again);
  const isOfRefund = ({ refundId }: { readonly refundId: string }): boolean => refundId === course.refundId;
  judgeWishes(course, votes.filter(isOfRefund), messages.filter(isOfRefund).filter(mayBeDone), say);
  return found.discrepancies;
}

function approvalsFor(totalMinor: number): number {
  const rules = APPROVALS_BY_TOTAL.filter((rule) => totalMinor >= rule.totalMinor);
  return Math.max(0, ...rules.map(({ approvals }) => approvals));
}

type Say = (kind: DiscrepancyKind, detail: string) => void;

function judgeRound(round: Round, requester: string, say: Say): void {
  const { votes, closed, endsAtMs, required } = round;
  const approvals = required - missingIn(round);
  const isRejected = votes.some(({ decision }) => decision === 'reject');
  for (const vote of votes) {
    const isOwn = vote.actor === requester || vote.actor === round.openedBy;
    const isSecond = votes.some((other) => other.actor === vote.actor && !isSameVote(other, vote));
    const isOfAnother = vote.contentHash !== round.contentHash;
    if (vote.isLate || isOwn || isSecond || isOfAnother || !isApprover(vote.actor)) {
      say('vote_against_rules', `${inWords(vote)} was counted`);
    }
  }
  if (closed?.as === 'pending' && approvals < required) {
    say('sent_without_votes', `approved by ${approvals} of ${required}`);
  }
  if (closed?.as === 'rejected' && !isRejected) say('ended_without_reason', 'nobody rejected it');
  if (closed?.as === 'expired' && closed.atMs < endsAtMs) {
    say('ended_without_reason', 'it expired before its time');
  }
  const isHeeded = isRejected
    ? closed?.as === 'rejected' || closed?.as === 'review'
    : approvals < required || (closed !== null && closed.as !== 'expired');
  if (!isHeeded) {
    say('vote_ignored', `${votes.map(inWords).join(', ')}; it became ${closed?.as ?? 'nothing'}`);
  }
}

/** Trail and table tell the same of votes, and all that was done was wished by somebody. */
function judgeWishes(
  course: Course,
  kept: readonly VoteStory[],
  wishes: readonly MessageStory[],
  say: Say,
): void {
  const cast = course.rounds.flatMap(({ votes }) => votes);
  for (const vote of kept) {
    const times = cast.filter((other) => isSameVote(other, vote)).length;
    if (times === 0) say('vote_lost', `${inWords(vote)} is not in the trail`);
    if (times > 1) say('vote_twice', `${inWords(vote)} is ${times} times in the trail`);
    if (!wishes.some((wish) => isMessageOf(wish, vote))) {
      say('asked_by_nobody', `${inWords(vote)} is in the ledger`);
    }
  }
  for (const vote of cast.filter((each) => !kept.some((other) => isSameVote(each, other)))) {
    say('vote_lost', `${inWords(vote)} is in the trail alone`);
  }
  for (const atMs of course.extendedToMs) {
    if (!wishes.some(({ expiresAtMs }) => expiresAtMs === atMs)) {
      say('asked_by_nobody', `its end was moved to ${new Date(atMs).toISOString()}`);
    }
  }
  if (course.status === 'canceled' && !wishes.some(({ action }) => action === 'cancel')) {
    say('asked_by_nobody', 'it is canceled');
  }
}

/** What a person was told holds. */
function judgeMessage(message: MessageStory, { courses, votes }: ApprovalBooks): Discrepancy[] {
  const course = courses.get(message.refundId);
  if (!course) return [];
  const found = finding(course);
  const { say } = found;
  const words = `${message.actor}’s ${message.action}`;
  const { answer } = message;
  const isVote = message.contentHash !== null;
  const isKept = votes.some((vote) => isMessageOf(message, vote));
  if (answer === null) {
    say('unanswered', `${words} got no answer but 503 and broken connections`);
  } else if (answer.status === 200) {
    if (isVote && !isKept) say('vote_lost', `${words} was answered 200`);
    if (message.action === 'cancel' && course.status !== 'canceled' && !course.hasLateMoney) {
      say('cancel_lost', `${words} was answered 200, and it is ${course.status}`);
    }
    if (message.expiresAtMs !== null && !course.extendedToMs.includes(message.expiresAtMs)) {
      say('extension_lost', `${words} was answered 200`);
    }
  } else if (answer.status >= 500) {
    say('server_error', `${words}: ${answer.status} ${answer.code}`);
  } else {
    if (!mayBeRefused(message, course, votes)) {
      say('refused_without_reason', `${words}: ${answer.status} ${answer.code}`);
    }
    if (isKept) say('two_answers', `${words} was refused as ${answer.code}, and counts`);
    if (isVote && !course.refusals.some((refusal) => isRefusalOf(message, refusal))) {
      say('refusal_lost', `${words} was refused as ${answer.code}, and the trail does not say so`);
    }
  }
  return found.discrepancies;
}

/** Whether what the ledger knew by then explains the refusal. */
function mayBeRefused(message: MessageStory, course: Course, votes: readonly VoteStory[]): boolean {
  const { actor, answer, answeredAtMs } = message;
  const round = course.rounds.findLast(({ openedAtMs }) => openedAtMs <= answeredAtMs);
  const otherwise = message.action === 'approve' ? 'reject' : 'approve';
  const isClosed = round?.closed !== null && (round === undefined || round.closed.atMs <= answeredAtMs);
  switch (answer?.code ?? '') {
    case 'forbidden':
      return actor !== REQUESTER && !isApprover(actor);
    case 'self_approval_forbidden':
      return actor === course.requester || actor === round?.openedBy;
    case 'already_final':
      return isClosed || round.endsAtMs <= answeredAtMs;
    case 'approval_conflict':
      return (
        message.contentHash !== round?.contentHash ||
        votes.some((vote) => isMessageOf({ ...message, action: otherwise }, vote))
      );
    case 'not_cancelable':
      return [...course.claims.map(({ atMs }) => atMs), course.endedAtMs ?? Infinity].some(
        (atMs) => atMs <= answeredAtMs,
      );
    default:
      return false;
  }
}

function mayBeDone({ answer }: MessageStory): boolean {
  return answer === null || answer.status === 200;
}

function isApprover(actor: string): boolean {
  return (APPROVERS as readonly string[]).includes(actor);
}

function isSameVote(one: VoteStory, other: VoteStory): boolean {
  return (
    one.actor === other.actor && one.decision === other.decision && one.contentHash === other.contentHash
  );
}

function isMessageOf(
  { refundId, actor, action, contentHash }: MessageStory,
  { refundId: ofRefundId, actor: by, decision, contentHash: of }: VoteStory,
): boolean {
  return refundId === ofRefundId && actor === by && action === decision && contentHash === of;
}

function isRefusalOf(
  { actor, action, contentHash, answer }: MessageStory,
  refusal: Course['refusals'][number],
): boolean {
  return (
    refusal.actor === actor &&
    refusal.action === action &&
    refusal.contentHash === contentHash &&
    refusal.code === answer?.code
  );
}

function inWords({ actor, decision }: VoteStory): string {
  return `${actor}’s ${decision}`;
}

function finding(course: Course) {
  const discrepancies: Discrepancy[] = [];
  const { refundId: subject, status, claims, rounds } = course;
  const context = `${status}; ${claims.length} claims; ${JSON.stringify(rounds)}`;
  const say: Say = (kind, detail) => discrepancies.push({ kind, subject, detail: `${detail}; ${context}` });
  return { discrepancies, say };
}
