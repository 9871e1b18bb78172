/** The people around a refund: who asked for it, who agrees or does not, who cancels, gives time, has it sent again. */
import type { Message } from './ledger/approval-standing.js';
import { attemptsOf, refundOf, type ApprovalRow, type RefundRow } from './ledger/books.js';
import type { Resend } from './ledger/resolution.js';
import { PROVIDER_TIMEOUT_MS, QUIET_MS, SECOND_MS, SKEW_MS } from './timings.js';
import type { Thread, World } from './world.js';

export const REQUESTER = 'rita';
const OPERATOR = 'olga';
const APPROVERS = ['ana', 'bruno', 'clara'] as const;
const MINUTE_MS = 60 * SECOND_MS;
const RESENDS_ASKED_MAX = 3;
/** From a sending's last instant on, until nothing of it can be under way or unseen. */
const UNTIL_QUIET_MS = PROVIDER_TIMEOUT_MS + QUIET_MS + 2 * SKEW_MS;

type Ask = Message['ask'];

interface Plan {
  readonly atMs: number;
  readonly message: Message;
}

/** All that people say of a refund from now on, in this round of votes or beyond it, in time or too late. */
export function* people(world: World, refundId: string, say: (message: Message) => void): Thread {
  const refund = refundOf(world.books, refundId);
  const plans = refund.approval
    ? [...votes(world, refund, refund.approval), ...extensions(world, refund, refund.approval)]
    : [];
  plans.push(...cancels(world, refund, plans));
  plans.push(...copies(world, plans));
  plans.sort((one, other) => one.atMs - other.atMs);
  world.expectPeopleUntil(plans.at(-1)?.atMs ?? 0);
  for (const { atMs, message } of plans) {
    yield Math.max(0, atMs - world.nowMs);
    say(message);
    // Who decides about sending it again looks at the provider too.
    if (refund.attempt > 0) world.hintAll();
  }
}

/** Now and then somebody wants a refund in review sent again: what was not accepted, once no call can be under way. */
export function* operator(world: World, refundId: string, say: (decision: Resend) => void): Thread {
  for (let asked = 0; asked < RESENDS_ASKED_MAX; asked += 1) {
    const inMs = UNTIL_QUIET_MS + world.random.upTo(world.random.pick([0.1, 0.1, 5]) * MINUTE_MS);
    world.expectPeopleUntil(world.nowMs + inMs);
    yield inMs;
    const { books, nowMs } = world;
    const { version: refundVersion, status } = refundOf(books, refundId);
    if (status !== 'review') return;
    const isLost = attemptsOf(books, refundId).every(
      ({ answer, sendByMs }) => answer?.kind !== 'accepted' && nowMs > sendByMs + UNTIL_QUIET_MS,
    );
    if (isLost) say({ id: world.nonce(), refundId, actor: OPERATOR, refundVersion });
  }
}

/** One after the other, or all at once. */
function votes(world: World, refund: RefundRow, approval: ApprovalRow): Plan[] {
  const { random } = world;
  const togetherMs = random.chance(0.3) ? momentOf(world, approval, 0.2) : null;
  const count = approval.required + random.whole(4) - (random.chance(0.2) ? 1 : 0);
  return Array.from({ length: count }, () => {
    const isStale = random.chance(0.08);
    const contentHash = isStale ? `${refund.id}/${approval.round - 1}` : approval.contentHash;
    const actor = random.chance(0.1) ? REQUESTER : random.chance(0.1) ? OPERATOR : random.pick(APPROVERS);
    const isAgainst = random.chance(approval.round === 1 ? 0.08 : 0.3);
    const ask: Ask = { action: isAgainst ? 'reject' : 'approve' };
    const atMs =
      togetherMs === null ? momentOf(world, approval, 0.2) : togetherMs + random.upTo(2 * SECOND_MS);
    return { atMs, message: { ...messageOf(world, refund, actor, ask), contentHash } };
  });
}

/** Within the window, beyond it, and at the last moment. */
function extensions(world: World, refund: RefundRow, approval: ApprovalRow): Plan[] {
  const { random } = world;
  if (!random.chance(0.35)) return [];
  const lengthMs = approval.expiresAtMs - world.nowMs;
  const moreMs = random.chance(0.1) ? 0 : random.upTo(random.pick([0.3, 1, 3]) * lengthMs);
  const expiresAtMs = approval.expiresAtMs + moreMs;
  const atMs = momentOf(world, approval, 0.5);
  return [{ atMs, message: messageOf(world, refund, OPERATOR, { action: 'extend', expiresAtMs }) }];
}

/** At any moment, and just when the last vote may have sent it on its way. */
function cancels(world: World, refund: RefundRow, plans: readonly Plan[]): Plan[] {
  const { random, nowMs } = world;
  const vote = plans[random.whole(plans.length)];
  const afterVote = vote && random.chance(0.25) ? vote.atMs + random.upTo(8 * SECOND_MS) : null;
  const anyTime = random.chance(0.12) ? nowMs + random.upTo(random.pick([0.1, 1, 10]) * MINUTE_MS) : null;
  const actor = random.pick([REQUESTER, OPERATOR]);
  return [afterVote, anyTime]
    .filter((atMs) => atMs !== null)
    .map((atMs) => ({ atMs, message: messageOf(world, refund, actor, { action: 'cancel' }) }));
}

/** The same message twice, or the same said again. */
function copies(world: World, plans: readonly Plan[]): Plan[] {
  const { random } = world;
  return plans
    .filter(() => random.chance(0.25))
    .map(({ atMs, message }) => ({
      atMs: atMs + random.upTo(20 * SECOND_MS),
      message: random.chance(0.5) ? message : { ...message, nonce: world.nonce() },
    }));
}

/** Early, late, or around the very end. */
function momentOf({ random, nowMs }: World, { expiresAtMs }: ApprovalRow, aroundTheEnd: number): number {
  return random.chance(aroundTheEnd)
    ? expiresAtMs + random.upTo(8 * SECOND_MS) - 6 * SECOND_MS
    : nowMs + random.upTo(random.pick([0.1, 0.5, 1.2]) * (expiresAtMs - nowMs));
}

function messageOf(world: World, { id, approval }: RefundRow, actor: string, ask: Ask): Message {
  return { refundId: id, actor, nonce: world.nonce(), contentHash: approval?.contentHash ?? '', ask };
}
