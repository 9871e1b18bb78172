import type { PaymentRead, RefundProvider, SubmitOutcome } from '../src/domain/provider.js';
import type { AwaitedWebhooks } from '../src/ledger/awaited-webhooks.js';
import type { Database } from '../src/ledger/database.js';
import type { PolicyShelf } from '../src/ledger/policies.js';
import type { ProviderDefinition } from '../src/providers/definition.js';
import type { ProofKeys } from '../src/signing/proof.js';

/** What activities close over; built once by the worker's wiring. */
export interface ActivityDeps {
  readonly db: Database;
  readonly providers: ReadonlyMap<string, KnownProvider>;
  /** Each refund goes on under the policy that it was admitted under. */
  readonly policies: PolicyShelf;
  /** What the front door's messages are checked with. */
  readonly frontDoorKeys: ProofKeys;
  /** Providers' webhooks, for a call that waits for its confirmation. */
  readonly webhooks: AwaitedWebhooks;
  readonly timings: Timings;
  readonly nowMs: () => number;
  readonly log: {
    error(fields: Record<string, unknown>, message: string): void;
    warn(fields: Record<string, unknown>, message: string): void;
  };
  readonly observe: Observe;
}

/** Told what happened, for whoever counts it; never throws. */
export interface Observe {
  attemptAnswered(provider: string, outcome: SubmitOutcome['kind']): void;
  providerRead(provider: string, outcome: PaymentRead['kind']): void;
  orphansResumed(count: number): void;
}

/** As `Observe`, of outbound webhooks. */
export interface ObserveDeliveries {
  /** `silent`: no answer came, or nothing could be sent; `given_up`: missed for the last time. */
  webhookAttempted(outcome: 'delivered' | 'refused' | 'silent' | 'given_up' | 'gone'): void;
}

export interface KnownProvider {
  readonly definition: ProviderDefinition;
  /** Null while the provider's credentials are not set. */
  readonly provider: RefundProvider | null;
}

export interface Timings {
  readonly providerTimeoutMs: number;
  readonly providerQuietMs: number;
  readonly confirmPollMs: number;
  readonly confirmPollMaxMs: number;
  readonly retryMaxMs: number;
}

export function providerNamed(deps: ActivityDeps, name: string): KnownProvider {
  const entry = deps.providers.get(name);
  if (!entry) throw new Error(`no provider is called ${name}`);
  return entry;
}
