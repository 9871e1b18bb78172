import type { z } from 'zod';
import type { ProviderCapabilities, RefundProvider } from '../domain/provider.js';
import type { CreateHttpClient } from './http.js';

/** What one provider's folder exports; the registry is a list of these. */
export interface ProviderDefinition<Settings = unknown> {
  /** The word in URLs, in the ledger and in task queues. */
  readonly name: string;
  /** As people write it. */
  readonly title: string;
  readonly capabilities: ProviderCapabilities;
  /** Whether it sends webhooks at all; where it does not, its route answers 404, on or off. */
  readonly sendsWebhooks: boolean;
  /** One form for one payment, before uniqueness is judged; null where the id can't be one of this provider's. */
  canonicalPaymentId(providerPaymentId: string): string | null;
  /** The environment names that it reads, each with what it means. */
  readonly settings: z.ZodType<Settings>;
  /** The names that switch the provider on: none set is "off", some set is a mistake to be named. */
  readonly credentials: readonly string[];
  create(settings: Settings, deps: ProviderDeps): RefundProvider;
}

export interface ProviderDeps {
  readonly createHttpClient: CreateHttpClient;
  /** Per HTTP call. */
  readonly timeoutMs: number;
  readonly nowMs: () => number;
  readonly credentialStore: CredentialStore;
  readonly log: ProviderLog;
}

/** Refresh tokens that the provider rotates, sealed at rest, shared by all workers. Only PicPay has them. */
export interface CredentialStore {
  /**
   * Runs `rotate` with the newest stored credential, alone among all processes, and keeps what it returns as the
   * new one. `owner` is a payment id, or `provider:<name>` for the merchant's own. Null in: none is stored.
   */
  rotateCredential<T>(
    owner: string,
    rotate: (current: string | null) => Promise<{ next: string | null; value: T }>,
  ): Promise<T>;
}

export interface ProviderLog {
  warn(fields: Record<string, unknown>, message: string): void;
}
