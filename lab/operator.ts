import { setTimeout as pause } from 'node:timers/promises';
import { clientOf, type Client } from './client.js';
import type { Decision, PaymentStory, RefundStory, Trip } from './stories.js';
import type { Dice } from './dice.js';
import type { Site } from './site.js';

/** The person on call, who is not the one that asks for refunds. */
export interface Operator {
  /** Every switch that the service pulled, in the order in which it was found and released. */
  readonly trips: readonly Trip[];
  /** Lets go on what the service paused. */
  resumeTripped(): Promise<void>;
  /** Does so every second, until the signal. */
  keepResuming(signal: AbortSignal): Promise<void>;
  /** Has the ledger compared with the providers. @throws Error where that does not end. */
  reconcile(): Promise<void>;
  /** Ends some reviews, by what the providers' books truly say. */
  resolveSome(stories: readonly PaymentStory[], dice: Dice): Promise<readonly Decision[]>;
}

export function operatorOf(site: Site): Operator {
  const trips: Trip[] = [];
  const once = clientOf(site.apiOrigins, site.keys.operator, () => 0);
  const insisting = (): Client => {
    const giveUpAtMs = Date.now() + GIVE_UP_AFTER_MS;
    return clientOf(site.apiOrigins, site.keys.operator, () => giveUpAtMs);
  };
  const operator: Operator = {
    trips,
    resumeTripped: async () => {
      const answer = await once.insist('GET', '/v1/providers');
      const providers = (answer?.body['data'] ?? []) as readonly ProviderState[];
      for (const { provider, paused, paused_by: by, paused_reason: why } of providers) {
        if (!paused) continue;
        const body = { reason: 'The amount was booked wrongly there, not misread here.' };
        const resumed = await once.insist('POST', `/v1/providers/${provider}/resume`, { body });
        if (resumed?.status === 200) trips.push({ provider, by: by ?? '', why: why ?? '' });
      }
    },
    keepResuming: async (signal) => {
      while (!signal.aborted) {
        await operator.resumeTripped();
        await pause(RESUME_EVERY_MS, undefined, { signal }).catch(() => undefined);
      }
    },
    reconcile: async () => {
      const client = insisting();
      const started = await client.insist('POST', '/v1/reconciliations', { body: {} });
      const id = String(started?.body['id']);
      for (;;) {
        const run = await client.insist('GET', `/v1/reconciliations/${id}`);
        if (run?.body['status'] === 'completed' && run.body['payments_unreadable'] === 0) return;
        if (run?.body['status'] !== 'running') throw new Error(`reconciliation: ${JSON.stringify(run)}`);
        await pause(LOOK_EVERY_MS);
      }
    },
    resolveSome: async (stories, dice) => {
      const client = insisting();
      const decisions: Decision[] = [];
      for (const [at, story] of stories.entries()) {
        const own = dice.forkFor(`review of payment ${at}`);
        for (const refund of story.refunds) {
          const outcome = refund.status === 'review' && own.chance(0.6) ? truthOf(story, refund, own) : null;
          if (outcome === null) continue;
          const body = { outcome, evidence: { ticket: `LAB-${at}` } };
          const answer = await client.insist('POST', `/v1/refunds/${refund.id}/resolve`, { body });
          const refusal = answer?.status === 200 ? '' : JSON.stringify(answer);
          decisions.push({ refundId: refund.id, outcome, refusal });
        }
      }
      return decisions;
    },
  };
  return operator;
}

const GIVE_UP_AFTER_MS = 90_000;
const RESUME_EVERY_MS = 1_000;
const LOOK_EVERY_MS = 300;

interface ProviderState {
  readonly provider: string;
  readonly paused: boolean;
  readonly paused_by: string | null;
  readonly paused_reason: string | null;
}

/**
 * Null where the provider itself has not decided, where nothing tells an entry of ours from the panel's or from an equal
 * one in review, and where it moved money that it never showed the service: nobody's word counts against what it shows.
 */
function truthOf(
  { shown, refunds }: PaymentStory,
  refund: RefundStory,
  dice: Dice,
): Decision['outcome'] | null {
  const entries = shown.filter(({ amountMinor }) => amountMinor === refund.amountMinor);
  const isOpen = shown.some(({ status }) => status === 'pending' || status === 'unclear');
  const neverSeen = refund.money !== 'refunded' && entries.some(({ hidden }) => hidden);
  if (isOpen || neverSeen || entries.some(({ origin }) => origin === 'panel')) return null;
  const equals = refunds.filter(({ amountMinor }) => amountMinor === refund.amountMinor);
  const explained = equals.filter(({ status }) => status === 'succeeded').length;
  if (equals.some(({ id, status }) => id !== refund.id && status === 'review')) return null;
  if (entries.filter(({ status }) => status === 'succeeded').length > explained) return 'succeeded';
  // A new entry of another amount may be this one, as far as the service can see: then it sends nothing.
  const isAlone = shown.every(({ amountMinor }) => amountMinor === refund.amountMinor);
  const mayResend = refund.money === 'reserved' && isAlone;
  // What needed votes seldom gets here, and shall need them again.
  return mayResend && (refund.approval !== null || dice.chance(0.5)) ? 'resend' : 'failed';
}
