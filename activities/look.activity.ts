import type { LookResult } from '../src/domain/saga-state.js';
import { paymentFromRow, referenceOf } from '../src/ledger/payment-row.js';
import { knownUnseen, noteLook, recordLook, type Look } from '../src/ledger/looks.js';
import { loadRefund } from '../src/ledger/refunds.js';
import { lookAndSettle, settleRefund, type Closing } from '../src/ledger/settlement.js';
import { providerNamed, type ActivityDeps } from './deps.js';
import { notDecidedYet } from './failures.js';
import { readGuarded } from './guarded-calls.js';
import { closingResult } from './ledger.activity.js';
import type { LedgerActivities, ProviderActivities } from './interface.js';

/** The workflow task waits for this reading; what takes longer is for the provider's own queue. */
const QUICK_READ_MS = 3_000;
/** Half the workflow tasks of a worker: a provider that is slow to show leaves the others to everybody else. */
const QUICK_LOOKS_AT_ONCE = 20;
const TOO_MANY = { kind: 'unavailable', retryAfterMs: null } as const;
let quickLooks = 0;

/** For what is most likely there to be seen: looks, and settles what has landed. */
export async function confirm(
  deps: ActivityDeps,
  input: Parameters<LedgerActivities['confirm']>[0],
): ReturnType<LedgerActivities['confirm']> {
  if (quickLooks >= QUICK_LOOKS_AT_ONCE) return TOO_MANY;
  quickLooks += 1;
  try {
    return await confirmNow(deps, input);
  } finally {
    quickLooks -= 1;
  }
}

async function confirmNow(
  deps: ActivityDeps,
  input: Parameters<LedgerActivities['confirm']>[0],
): ReturnType<LedgerActivities['confirm']> {
  const sight = await sightOf(deps, input, QUICK_READ_MS);
  if ('known' in sight && sight.known.kind !== 'landed') return sight.known;
  const ended =
    'known' in sight
      ? await settleRefund(deps.db, input.refundId, deps.nowMs())
      : reported(deps, sight, await lookAndSettle(deps.db, sight.seen));
  if (ended.kind !== 'closed' && ended.kind !== 'refused') return ended;
  const closing = closingResult(deps, input.refundId, ended);
  // Why the ledger refuses is for the saga's own settlement to hear.
  return closing.kind === 'closed' ? closing : { kind: 'landed' };
}

/** Reads the provider once and stores what that says of the refund's last attempt. */
export async function look(
  deps: ActivityDeps,
  input: Parameters<ProviderActivities['look']>[0],
  withinMs?: number,
): Promise<LookResult> {
  const sight = await sightOf(deps, input, withinMs);
  if ('known' in sight) return sight.known;
  return reported(deps, sight, await recordLook(deps.db, sight.seen));
}

interface Sight {
  readonly provider: string;
  readonly seen: Look;
}

/** What the ledger knows of it by itself, else what its provider shows now. */
async function sightOf(
  deps: ActivityDeps,
  input: Parameters<ProviderActivities['look']>[0],
  withinMs?: number,
): Promise<{ readonly known: LookResult } | Sight> {
  const { refund, payment, conclusions } = await loadRefund(deps.db, input.refundId);
  // Whoever reaches Temporal may have told the run that its review was not resolved.
  if (input.inReview && refund.status !== 'review') return { known: { kind: 'awaitsVotes' } };
  const known = knownUnseen(refund, conclusions);
  if (known) return { known };
  const { provider } = providerNamed(deps, refund.provider);
  if (!provider) return { known: { kind: 'unavailable', retryAfterMs: null } };

  const readAtMs = deps.nowMs();
  const read = await readGuarded(deps, provider, referenceOf(paymentFromRow(payment)), withinMs);
  if (read.kind !== 'found') {
    await noteLook(deps.db, refund.id, deps.nowMs());
    if (read.kind !== 'unavailable') {
      deps.log.warn(
        { refundId: refund.id, provider: refund.provider, read },
        'a reading at the provider is of no use',
      );
    }
    const retryAfterMs = read.kind === 'unavailable' ? read.retryAfterMs : null;
    return { known: { kind: 'unavailable', retryAfterMs } };
  }
  const { providerTimeoutMs, providerQuietMs: quietMs } = deps.timings;
  return {
    provider: refund.provider,
    seen: {
      refundId: refund.id,
      reading: { ...read.snapshot, readAtMs },
      source: input.source,
      onlyOneRefund: provider.capabilities.partials !== 'many',
      bounds: { providerTimeoutMs, quietMs },
      nowMs: deps.nowMs(),
    },
  };
}

function reported<Result extends LookResult | Closing>(
  deps: ActivityDeps,
  { provider, seen: { refundId } }: Sight,
  result: Result,
): Result {
  if (result.kind === 'unknownStatus') {
    deps.log.error(
      { refundId, provider, status: result.providerStatus },
      'a refund status that no document lists',
    );
  }
  return result;
}

/** One look of the long silence; undecided, it fails so that the engine's retry is the next one. */
export async function watch(
  deps: ActivityDeps,
  { untilMs, ...input }: Parameters<ProviderActivities['watch']>[0],
): Promise<LookResult> {
  const result = await look(deps, { ...input, source: 'poll' });
  switch (result.kind) {
    case 'landed':
    case 'rejected':
    case 'unknownStatus':
    case 'cannotTell':
    case 'otherAmount':
    case 'notSent':
    case 'awaitsVotes':
    case 'awaitsPerson':
      return result;
    case 'processing':
    case 'unclear':
    case 'absent':
    case 'unavailable':
      if (deps.nowMs() >= untilMs) return result;
      throw notDecidedYet();
  }
}
