/** Every call to a provider passes its breaker, and tells it how it went. */
import { readPaymentWithin } from '../src/domain/bounded-read.js';
import { readingTold, submitTold, type CallResult } from '../src/domain/breaker.js';
import { assertNever } from '../src/domain/errors.js';
import type {
  PaymentRead,
  PaymentReference,
  ProviderError,
  RefundProvider,
  SubmitOutcome,
} from '../src/domain/provider.js';
import {
  mayCall,
  READY_BEFORE_TURN_MS,
  reportCall,
  type Gate,
  type Permit,
  type ShutGate,
} from '../src/ledger/provider-gates.js';
import type { RefundRow } from '../src/ledger/refunds.js';
import type { ActivityDeps } from './deps.js';

/** The provider may come back, or the line move, while a turn is waited for. */
const WAITS_FOR_A_TURN = 2;

/**
 * One reading; where the provider is not to be read now, the value of an outage, and no call.
 * @throws only what the ledger throws.
 */
export async function readGuarded(
  deps: ActivityDeps,
  provider: RefundProvider,
  payment: PaymentReference,
  withinMs = 3 * deps.timings.providerTimeoutMs,
): Promise<PaymentRead> {
  const isPatient = withinMs >= deps.timings.providerTimeoutMs;
  const gate = await mayCall(deps.db, {
    ...terms(deps),
    provider: provider.name,
    operation: 'read',
    mayProbe: isPatient,
  });
  if (gate.kind === 'shut') {
    const { retryAfterMs } = gate;
    return {
      kind: 'unavailable',
      reason: 'provider_unavailable',
      retryAfterMs,
      detail: shutError(gate, deps.nowMs()).message,
    };
  }
  const beganMs = deps.nowMs();
  const read = await readPaymentWithin(provider, payment, withinMs);
  deps.observe.providerRead(provider.name, read.kind);
  // Who had less patience than a call may take has learnt nothing of the provider.
  const gaveUp = !isPatient && deps.nowMs() - beganMs >= withinMs;
  await report(deps, gate.permit, gaveUp ? { kind: 'unclear' } : readingTold(read));
  return read;
}

/**
 * To be asked before anything is read or claimed for a submit, repeats included; `shut` claims nothing and sends
 * nothing. A turn that comes soon is waited for. A permit that came to no call goes back with `returnProbe`.
 */
export async function askToSubmit(deps: ActivityDeps, refund: RefundRow): Promise<Gate> {
  for (let waited = 0; ; waited += 1) {
    const gate = await mayCall(deps.db, {
      ...terms(deps),
      provider: refund.provider,
      operation: 'submit',
      mayProbe: true,
      refund,
    });
    const isSoon = gate.kind === 'shut' && gate.why === 'turn' && gate.retryAfterMs <= READY_BEFORE_TURN_MS;
    if (!isSoon || waited === WAITS_FOR_A_TURN) return gate;
    await new Promise((resolve) => setTimeout(resolve, gate.retryAfterMs));
  }
}

/** Apart from the call, because its answer must be stored first. */
export async function reportSubmit(
  deps: ActivityDeps,
  permit: Permit,
  outcome: SubmitOutcome,
): Promise<void> {
  deps.observe.attemptAnswered(permit.provider, outcome.kind);
  const told = submitTold(outcome);
  if (told) await report(deps, permit, told);
}

/** What a person is told while a gate is shut. It stays true while the refund waits, so it names no pause that grows. */
export function shutError({ why, sinceMs, retryAfterMs }: ShutGate, nowMs: number): ProviderError {
  const until = new Date(nowMs + retryAfterMs).toISOString();
  const since = new Date(sinceMs ?? nowMs).toISOString();
  switch (why) {
    case 'paused':
      return {
        code: 'provider_paused',
        message: `An operator paused the provider at ${since}; nothing is sent until it is resumed.`,
      };
    case 'breaker':
      return {
        code: 'breaker_open',
        message: `The provider has not answered since ${since}; it is tried again from ${until} on.`,
      };
    case 'hold':
      return {
        code: 'provider_limiting',
        message: `The provider asked for no more calls until ${until}.`,
      };
    case 'turn':
      return {
        code: 'in_line',
        message: `The provider is tried again since ${since}; earlier deadlines go first.`,
      };
    default:
      return assertNever(why);
  }
}

async function report(deps: ActivityDeps, permit: Permit, result: CallResult): Promise<void> {
  const { retryMaxMs } = deps.timings;
  const changed = await reportCall(deps.db, permit, result, { retryMaxMs, nowMs: deps.nowMs() });
  const { provider, operation } = permit;
  if (changed) deps.log.warn({ provider, operation }, `a breaker has ${changed}`);
}

/** The longest that a permit may be under way: reading, claim and call. */
function terms({ timings, nowMs }: ActivityDeps) {
  return { probeMs: 5 * timings.providerTimeoutMs, retryMaxMs: timings.retryMaxMs, nowMs: nowMs() };
}
