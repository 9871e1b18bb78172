import { setTimeout as pause } from 'node:timers/promises';
import { clientOf, toldBy, type Answer, type Asking } from './client.js';
import type { Dice } from './dice.js';
import { APPROVERS, OPERATOR, REQUESTER, type Site } from './site.js';
import type { MessageStory } from './stories.js';

/** Those whose votes refunds wait for, and who cancels some. They repeat what was not answered. */
export interface People {
  /** Everything that they asked of refunds, and what they were told. */
  readonly messages: readonly MessageStory[];
  readonly repeats: () => number;
  /** Deals with a refund that somebody has just asked for, as `answer` shows it. */
  attend(answer: Answer | null, dice: Dice): Promise<void>;
  /** Votes once more, where an operator's resend asks for it. */
  voteAgain(refundId: string, dice: Dice): Promise<void>;
}

export function peopleOf(site: Site): People {
  const messages: MessageStory[] = [];
  let repeats = 0;

  const insist = async (actor: string, method: 'GET' | 'POST', path: string, more?: Asking) => {
    const giveUpAtMs = Date.now() + GIVE_UP_AFTER_MS;
    const origins = messages.length % 2 === 0 ? site.apiOrigins : site.apiOrigins.toReversed();
    const client = clientOf(origins, keyOf(site, actor), () => giveUpAtMs);
    const answer = await client.insist(method, path, more);
    repeats += client.unanswered();
    return answer;
  };
  const tell = async (actor: string, action: MessageStory['action'], { id, ...about }: About) => {
    const { contentHash = null, expiresAtMs = null, hangUpAfterMs } = about;
    const body = {
      ...(contentHash === null ? {} : { content_hash: contentHash }),
      ...(expiresAtMs === null ? {} : { expires_at: new Date(expiresAtMs).toISOString() }),
    };
    const more = { body, ...(hangUpAfterMs === undefined ? {} : { hangUpAfterMs }) };
    const answer = await insist(actor, 'POST', `/v1/refunds/${id}/${action}`, more);
    const told = answer && { status: answer.status, code: toldBy(answer).code };
    const what = { refundId: id, actor, action, contentHash, expiresAtMs };
    messages.push({ ...what, answer: told, answeredAtMs: Date.now() });
  };

  /** As people do: twice at once, after a lost answer again, by an old page first, or with second thoughts. */
  const vote = async (actor: string, decision: Decision, refund: Waiting, dice: Dice): Promise<void> => {
    const { id, contentHash } = refund;
    const say = (as: Decision, more: object = {}) => tell(actor, as, { id, contentHash, ...more });
    await pause(dice.between(0, HESITATES_MS_MAX));
    switch (dice.pick(MANNERS)) {
      case 'plainly':
        await say(decision);
        break;
      case 'twice at once':
        await Promise.all([say(decision), say(decision)]);
        break;
      case 'answer lost':
        await say(decision, { hangUpAfterMs: dice.between(1, 60) });
        break;
      case 'old page':
        await say(decision, { contentHash: refund.staleHash });
        await say(decision);
        break;
      case 'second thoughts':
        await say(decision);
        await say(decision === 'approve' ? 'reject' : 'approve');
    }
  };
  const cheat = async ({ id, contentHash }: Waiting, dice: Dice): Promise<void> => {
    await tell(dice.pick([REQUESTER, OPERATOR]), dice.pick(['approve', 'reject']), { id, contentHash });
  };
  const approve = async (refund: Waiting, voters: readonly string[], dice: Dice): Promise<void> => {
    const votes = voters.slice(0, refund.required).map((actor) => async () => {
      await vote(actor, 'approve', refund, dice.forkFor(actor));
    });
    if (dice.chance(0.5)) await Promise.all(votes.map((cast) => cast()));
    else for (const cast of votes) await cast();
  };
  const cancel = async (id: string, dice: Dice, withinMs: number): Promise<void> => {
    await pause(dice.between(0, withinMs));
    await tell(dice.chance(0.7) ? OPERATOR : REQUESTER, 'cancel', {
      id,
      ...(dice.chance(0.3) ? { hangUpAfterMs: dice.between(1, 60) } : {}),
    });
  };
  const decide = async (refund: Waiting, course: Course, dice: Dice): Promise<void> => {
    const at = dice.between(0, APPROVERS.length - 1);
    const voters = [...APPROVERS.slice(at), ...APPROVERS.slice(0, at)];
    const [last = APPROVERS[0]] = voters.toReversed();
    switch (course) {
      case 'agree':
        return approve(refund, voters, dice);
      case 'object':
        await approve({ ...refund, required: refund.required - 1 }, voters, dice);
        return vote(last, 'reject', refund, dice);
      case 'cancel':
        await Promise.all([cancel(refund.id, dice, HESITATES_MS_MAX), approve(refund, voters, dice)]);
        return;
      case 'extend': {
        const expiresAtMs = refund.expiresAtMs + EXTENDED_BY_MS;
        await tell(OPERATOR, 'extend', { id: refund.id, expiresAtMs });
        await pause(Math.max(0, refund.expiresAtMs - Date.now()) + JUST_AFTER_MS);
        return dice.chance(0.7) ? approve(refund, voters, dice) : undefined;
      }
      case 'leave':
        await approve({ ...refund, required: refund.required - 1 }, voters, dice);
        await pause(Math.max(0, refund.expiresAtMs - Date.now()) + JUST_AFTER_MS);
        return vote(last, 'approve', refund, dice);
    }
  };
  return {
    messages,
    repeats: () => repeats,
    attend: async (answer, dice) => {
      if (answer?.status !== 202) return;
      const waiting = waitingIn(answer);
      if (!waiting) {
        if (dice.chance(0.15)) await cancel(String(answer.body['id']), dice, SOON_MS);
        return;
      }
      const cheats = dice.chance(0.15) ? [cheat(waiting, dice)] : [];
      await Promise.all([...cheats, decide(waiting, dice.pick(COURSES), dice)]);
    },
    voteAgain: async (refundId, dice) => {
      const answer = await insist(OPERATOR, 'GET', `/v1/refunds/${refundId}`);
      const waiting = answer && waitingIn(answer);
      if (waiting) await decide(waiting, dice.pick(['agree', 'agree', 'object']), dice);
    },
  };
}

type Decision = 'approve' | 'reject';

/** What is asked of which refund, and how long its first answer is waited for. */
interface About {
  readonly id: string;
  readonly contentHash?: string;
  readonly expiresAtMs?: number;
  readonly hangUpAfterMs?: number;
}

interface Waiting {
  readonly id: string;
  readonly required: number;
  readonly contentHash: string;
  readonly staleHash: string;
  readonly expiresAtMs: number;
}

const MANNERS = [
  ...['plainly', 'plainly', 'plainly', 'twice at once', 'twice at once'],
  ...['answer lost', 'answer lost', 'old page', 'second thoughts'],
] as const;
const COURSES = [
  ...['agree', 'agree', 'agree', 'agree', 'agree', 'agree'],
  ...['object', 'cancel', 'extend', 'leave'],
] as const;
type Course = (typeof COURSES)[number];

const HESITATES_MS_MAX = 1_500;
/** While it is queued, or its provider is away, if it ever is. */
const SOON_MS = 1_500;
const EXTENDED_BY_MS = 6_000;
const JUST_AFTER_MS = 200;
/** The storm, the wipe and what is away meanwhile may keep one from being heard for long; not for ever. */
const GIVE_UP_AFTER_MS = 180_000;

function keyOf({ keys }: Site, actor: string): string {
  if (actor === REQUESTER) return keys.requester;
  return actor === OPERATOR ? keys.operator : (keys.approvers[actor] ?? '');
}

/** Null where nobody need agree, or everything is said. */
function waitingIn({ body }: Answer): Waiting | null {
  const approval = body['approval'] as ApprovalShown | null;
  if (body['status'] !== 'requires_approval' || approval === null) return null;
  return {
    id: String(body['id']),
    required: approval.required,
    contentHash: approval.content_hash,
    staleHash: [...approval.content_hash].toReversed().join(''),
    expiresAtMs: Date.parse(approval.expires_at),
  };
}

interface ApprovalShown {
  readonly required: number;
  readonly content_hash: string;
  readonly expires_at: string;
}
