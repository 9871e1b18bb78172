import type { IdentitySettings, RateLimit } from '../config.js';
import type { Policy } from '../domain/policy.js';
import type { RefundProvider } from '../domain/provider.js';
import type { Database } from '../ledger/database.js';
import type { ProviderDefinition } from '../providers/definition.js';
import type { ProofKeys } from '../signing/proof.js';
import type { SealingKeys } from '../signing/seal.js';
import type { RefundEngine } from './refund-engine.js';

/** All that the front door needs; plain values, so that a test can give its own. */
export interface ApiDeps {
  readonly db: Database;
  readonly config: {
    readonly payloadKeys: SealingKeys | null;
    /** Of the Temporal UIs whose users may have payloads opened; absent: none. */
    readonly codecCorsOrigins?: readonly string[];
    /** Whether webhooks may go to http and to private addresses; absent: no. */
    readonly webhookAllowPrivate?: boolean;
    /** What workers know the door's messages by. */
    readonly frontDoorKeys: ProofKeys;
    /** Null: API keys alone. */
    readonly identity: IdentitySettings | null;
    readonly rateLimit: RateLimit;
  };
  readonly policy: Pick<Policy, 'window' | 'approval' | 'limits'>;
  /** By name, in the registry's order. */
  readonly providers: ReadonlyMap<string, ConfiguredProvider>;
  readonly engine: RefundEngine;
  /** The name of the newest migration that this build knows, as the database stores it. */
  readonly newestMigration: string;
  readonly nowMs: () => number;
  readonly log: ApiLog;
  readonly metrics: ApiMetrics;
}

export interface ApiMetrics {
  /** `route` is a template, never a path. */
  answered(route: string, method: string, status: number, seconds: number): void;
  /** As Prometheus reads it; answers in time whatever is away. */
  expose(): Promise<string>;
}

export interface ConfiguredProvider {
  readonly definition: ProviderDefinition;
  /** Null: the provider is off. */
  readonly provider: RefundProvider | null;
}

export interface ApiLog {
  info(fields: Record<string, unknown>, message: string): void;
  warn(fields: Record<string, unknown>, message: string): void;
  error(fields: Record<string, unknown>, message: string): void;
}

export const API_DEPS = Symbol('ApiDeps');
