import type { z } from 'zod';
import { breakerState, type Breaker, type BreakerState } from '../domain/breaker.js';
import type { ProviderState } from '../ledger/provider-states.js';
import type { providerResource } from './provider.schema.js';

type ProviderResource = z.output<typeof providerResource>;

export function toProviderResource(
  state: ProviderState & { readonly provider: string },
  { on, nowMs }: { readonly on: boolean; readonly nowMs: number },
): ProviderResource {
  const breakers = {
    read: toBreakerResource(state.breakers.read, nowMs),
    submit: toBreakerResource(state.breakers.submit, nowMs),
  };
  const { pause, waiting } = state;
  const [first] = waiting;
  return {
    object: 'provider',
    provider: state.provider,
    on,
    breaker: worse(breakers.read.state, breakers.submit.state),
    breakers,
    paused: pause !== null,
    paused_at: pause ? new Date(pause.atMs).toISOString() : null,
    paused_by: pause?.actor ?? null,
    paused_reason: pause?.reason || null,
    waiting_refunds: waiting.reduce((sum, { refunds }) => sum + refunds, 0),
    waiting_amount: waiting.length > 1 ? null : (first?.amountMinor ?? 0),
    currency: waiting.length > 1 ? null : (first?.currency ?? null),
    waiting: waiting.map(({ currency, refunds, amountMinor }) => ({
      currency,
      refunds,
      amount: amountMinor,
    })),
  };
}

function toBreakerResource(breaker: Breaker, nowMs: number): ProviderResource['breakers']['read'] {
  const { failures, openedAtMs, probeAtMs, holdUntilMs } = breaker;
  return {
    state: breakerState(breaker, nowMs),
    failures,
    since: toTime(openedAtMs),
    next_probe_at: toTime(probeAtMs),
    held_until: holdUntilMs !== null && holdUntilMs > nowMs ? toTime(holdUntilMs) : null,
  };
}

function worse(one: BreakerState, other: BreakerState): BreakerState {
  const states: readonly BreakerState[] = ['open', 'half_open', 'closed'];
  return states.find((state) => state === one || state === other) ?? 'closed';
}

function toTime(atMs: number | null): string | null {
  return atMs === null ? null : new Date(atMs).toISOString();
}
