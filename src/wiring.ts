import type { Logger } from 'pino';
import type { DeliveryDeps } from '../activities/deliver.activity.js';
import type { ActivityDeps, Observe, ObserveDeliveries } from '../activities/deps.js';
import type { RefundProvider } from './domain/provider.js';
import type { Config, ProviderSetup, ServiceConfig } from './config.js';
import { databaseUrlOf } from './database-url.js';
import { createAwaitedWebhooks } from './ledger/awaited-webhooks.js';
import { createCredentialStore, type Sealing } from './ledger/credentials.js';
import { openDatabase, type Database } from './ledger/database.js';
import { hasMacs } from './ledger/event-chain.js';
import { createPolicyShelf } from './ledger/policies.js';
import { urlRules } from './outbound/endpoint-url.js';
import { createPost } from './outbound/post.js';
import { inTurns } from './outbound/turns.js';
import { readPolicy } from './policy.js';
import type { Policy } from './domain/policy.js';
import type { ProviderDefinition } from './providers/definition.js';
import { createHttpClient } from './providers/http.js';
import { createLedgerMetrics, type LedgerMetrics } from './metrics/ledger-metrics.js';
import { createAuditMacs } from './signing/audit-mac.js';
import { seal, unseal } from './signing/seal.js';

/** What the front door and the workers both are built from. */
export interface Parts {
  readonly db: Database;
  readonly policy: Policy;
  readonly providers: ReadonlyMap<
    string,
    { definition: ProviderDefinition; provider: RefundProvider | null }
  >;
  close(): Promise<void>;
}

/** @throws Error in words for the operator when a part is not configured. */
export function buildParts(config: Config, log: Logger): Parts {
  const policy = readPolicy(config.policyFile);
  const databaseUrl = databaseUrlOf(config);
  const auditMacs = config.auditKeys && createAuditMacs(config.auditKeys);
  const db = openDatabase(databaseUrl, { auditMacs });
  const clients = createHttpClient({ timeoutMs: config.providerTimeoutMs });
  const nowMs = (): number => Date.now();
  // Apart, because a renewal holds a connection while a provider's login takes its time.
  const credentialsDb = openDatabase(databaseUrl, { poolMax: 3 });
  const credentialStore = createCredentialStore(credentialsDb, { sealing: sealingOf(config), nowMs });
  const create = ({ definition, settings }: ProviderSetup): RefundProvider | null =>
    settings === null
      ? null
      : definition.create(settings, {
          createHttpClient: clients,
          timeoutMs: config.providerTimeoutMs,
          nowMs,
          credentialStore,
          log,
        });
  const providers = new Map(
    config.providers.map((setup) => [
      setup.definition.name,
      { definition: setup.definition, provider: create(setup) },
    ]),
  );
  return {
    db,
    policy,
    providers,
    close: async () => {
      await clients.close();
      await Promise.all([db.destroy(), credentialsDb.destroy()]);
    },
  };
}

/**
 * Before anything runs: without the keys of the trail nothing could be written, so that is said at once. Where the
 * database is away nobody can tell yet, and it says so itself at the first event.
 * @throws Error in words for the operator.
 */
export async function refuseWithoutAuditKeys({ auditKeys }: Config, parts: Parts): Promise<void> {
  if (auditKeys || !(await hasMacs(parts.db).catch(() => false))) return;
  await parts.close();
  throw new Error(
    'AUDIT_KEYS is not set, and the audit trail has MACs: the API and all workers need the keys that it is written with',
  );
}

export function activityDeps(
  config: ServiceConfig,
  parts: Parts,
  log: Logger,
  observe: Observe,
): ActivityDeps {
  return {
    db: parts.db,
    providers: parts.providers,
    policies: createPolicyShelf(parts.db, parts.policy, { nowMs: () => Date.now(), log }),
    frontDoorKeys: config.frontDoorKeys,
    webhooks: createAwaitedWebhooks(parts.db, () => Date.now()),
    timings: {
      providerTimeoutMs: config.providerTimeoutMs,
      providerQuietMs: config.providerQuietMs,
      confirmPollMs: config.confirmPollMs,
      confirmPollMaxMs: config.confirmPollMaxMs,
      retryMaxMs: config.retryMaxMs,
    },
    nowMs: () => Date.now(),
    log,
    observe,
  };
}

export function deliveryDeps(
  config: Config,
  { db }: Parts,
  log: Logger,
  observe: ObserveDeliveries,
): DeliveryDeps {
  return {
    db,
    sealing: sealingOf(config),
    post: inTurns(createPost(urlRules(config.webhookAllowPrivate))),
    nowMs: () => Date.now(),
    random: () => Math.random(),
    log,
    observe,
  };
}

/** The same figures in every process, for `/metrics`. */
export function ledgerMetrics({ db, providers }: Parts): LedgerMetrics {
  return createLedgerMetrics({ db, providers: [...providers.keys()], nowMs: () => Date.now() });
}

function sealingOf(config: Config): Sealing | null {
  const { payloadKeys } = config;
  if (!payloadKeys) return null;
  return { seal: (text) => seal(text, payloadKeys), unseal: (sealed) => unseal(sealed, payloadKeys) };
}
