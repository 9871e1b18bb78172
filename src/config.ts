import { resolve } from 'node:path';
import { z } from 'zod';
import type { ProviderDefinition } from './providers/definition.js';
import { PROVIDERS } from './providers/registry.js';

/** Keys by id: the first one makes, every one of them checks or opens. */
export interface KeyRing {
  readonly keys: readonly { readonly id: string; readonly secret: Buffer }[];
  /** The ring ended in `plain`: what nobody sealed is still accepted. */
  readonly acceptsPlain: boolean;
}

export interface ProviderSetup {
  readonly definition: ProviderDefinition;
  /** What the definition's own schema made of the environment; null: the provider is off. */
  readonly settings: unknown;
}

/** The identity provider whose bearer tokens are accepted. */
export interface IdentitySettings {
  readonly issuer: string;
  readonly audience: string;
  readonly jwksUrl: URL;
  /** The names of the claims, as they stand in the token. */
  readonly actorClaim: string;
  readonly rolesClaim: string;
}

export interface RateLimit {
  /** Requests an actor, on average. */
  readonly perSecond: number;
  /** Requests an actor at once. */
  readonly burst: number;
}

export interface Config {
  readonly host: string;
  readonly port: number;
  readonly workerHealthPort: number;
  /** Null: not given. */
  readonly databaseUrl: string | null;
  /** Absolute. */
  readonly dataDir: string;
  /** Absolute. */
  readonly policyFile: string;
  /** The environment says where Temporal is; the details are read by `@temporalio/envconfig`. */
  readonly temporalGiven: boolean;
  readonly payloadKeys: KeyRing | null;
  readonly frontDoorKeys: KeyRing | null;
  readonly auditKeys: KeyRing | null;
  /** Where Temporal UIs are served whose users may have payloads opened. */
  readonly codecCorsOrigins: readonly string[];
  /** Null: API keys alone. */
  readonly identity: IdentitySettings | null;
  readonly rateLimit: RateLimit;
  readonly providerTimeoutMs: number;
  readonly providerQuietMs: number;
  readonly confirmPollMs: number;
  readonly confirmPollMaxMs: number;
  readonly retryMaxMs: number;
  /** Outbound webhooks may go to http and to private addresses: for tests and local networks. */
  readonly webhookAllowPrivate: boolean;
  readonly providers: readonly ProviderSetup[];
}

/** What the API and the workers can't be without. */
export interface ServiceConfig extends Config {
  readonly frontDoorKeys: KeyRing;
}

/** Its message names every wrong setting and never repeats a value. */
export class ConfigError extends Error {
  constructor(problems: readonly string[]) {
    super(['these settings are wrong:', ...problems.map((problem) => `  ${problem}`)].join('\n'));
    this.name = 'ConfigError';
  }
}

/**
 * The one reader of the environment. An empty value counts as not given.
 * @throws ConfigError naming every wrong setting at once.
 */
export function readConfig(
  env: NodeJS.ProcessEnv,
  definitions: readonly ProviderDefinition[] = PROVIDERS,
): Config {
  return configOf(parse(Settings, env, definitions));
}

/** For the API and the workers, which know each other's messages by a key. @throws ConfigError as `readConfig` does. */
export function readServiceConfig(env: NodeJS.ProcessEnv): ServiceConfig {
  const parsed = parse(ServiceSettings, env, PROVIDERS);
  return { ...configOf(parsed), frontDoorKeys: parsed.settings.FRONT_DOOR_KEYS };
}

/** The beginning that all environment names of a provider share: `PICPAY_`. */
export function providerSettingPrefix(provider: string): string {
  return `${provider.toUpperCase()}_`;
}

interface Parsed<Values> {
  readonly settings: Values;
  readonly given: Readonly<Record<string, string | undefined>>;
  readonly providers: readonly ProviderSetup[];
}

function parse<Schema extends z.ZodType>(
  schema: Schema,
  env: NodeJS.ProcessEnv,
  definitions: readonly ProviderDefinition[],
): Parsed<z.output<Schema>> {
  const given = Object.fromEntries(
    Object.entries(env).filter(([, value]) => value !== undefined && value !== ''),
  );
  const settings = schema.safeParse(given);
  const providers = definitions.map((definition) => readProvider(definition, given));

  const problems = [
    ...(settings.error?.issues ?? []).map(describeIssue),
    ...providers.flatMap((provider) => provider.problems),
  ];
  if (!settings.success || problems.length > 0) throw new ConfigError(problems);
  return { settings: settings.data, given, providers };
}

function configOf({ settings: s, given, providers }: Parsed<z.output<typeof Settings>>): Config {
  return {
    host: s.HOST,
    port: s.PORT,
    workerHealthPort: s.WORKER_HEALTH_PORT,
    databaseUrl: s.DATABASE_URL ?? null,
    dataDir: resolve(s.DATA_DIR),
    policyFile: resolve(s.POLICY_FILE),
    temporalGiven: TEMPORAL_PLACE_SETTINGS.some((name) => name in given),
    payloadKeys: s.PAYLOAD_KEYS ?? null,
    frontDoorKeys: s.FRONT_DOOR_KEYS ?? null,
    auditKeys: s.AUDIT_KEYS ?? null,
    codecCorsOrigins: s.CODEC_CORS_ORIGINS,
    identity: identityOf(s),
    rateLimit: { perSecond: s.RATE_LIMIT_PER_SECOND, burst: s.RATE_LIMIT_BURST },
    providerTimeoutMs: s.PROVIDER_TIMEOUT_MS,
    providerQuietMs: s.PROVIDER_QUIET_MS,
    confirmPollMs: s.CONFIRM_POLL_MS,
    confirmPollMaxMs: s.CONFIRM_POLL_MAX_MS,
    retryMaxMs: s.RETRY_MAX_MS,
    webhookAllowPrivate: s.WEBHOOK_ALLOW_PRIVATE === 'true',
    providers: providers.map(({ definition, settings }) => ({ definition, settings })),
  };
}

function identityOf(s: z.output<typeof Settings>): IdentitySettings | null {
  const { JWT_ISSUER: issuer, JWT_AUDIENCE: audience, JWT_JWKS_URL: jwksUrl } = s;
  if (issuer === undefined || audience === undefined || jwksUrl === undefined) return null;
  return { issuer, audience, jwksUrl, actorClaim: s.JWT_ACTOR_CLAIM, rolesClaim: s.JWT_ROLES_CLAIM };
}

const TEMPORAL_PLACE_SETTINGS = ['TEMPORAL_ADDRESS', 'TEMPORAL_PROFILE', 'TEMPORAL_CONFIG_FILE'];
const IDENTITY_SETTINGS = ['JWT_ISSUER', 'JWT_AUDIENCE', 'JWT_JWKS_URL'] as const;
const PORT_MAX = 65_535;
const LOOPBACK: ReadonlySet<string> = new Set(['127.0.0.1', '[::1]', 'localhost']);
const RATE_MAX = 1_000_000;
const DAY_MS = 86_400_000;
const AES_KEY_BYTES = 32;
const MAC_KEY_BYTES_MIN = 32;

const wholeNumber = (min: number, max: number, preset: number) =>
  z
    .string()
    .regex(/^\d{1,15}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.number().min(min, `must be at least ${min}`).max(max, `must be at most ${max}`))
    .default(preset);

const sealingKeys = keyRing({
  plainAllowed: true,
  fits: (bytes) => bytes === AES_KEY_BYTES,
  size: `${AES_KEY_BYTES} bytes`,
});
const macKeys = keyRing({
  plainAllowed: false,
  fits: (bytes) => bytes >= MAC_KEY_BYTES_MIN,
  size: `at least ${MAC_KEY_BYTES_MIN} bytes`,
});

const origins = z
  .string()
  .default('')
  .transform((text) => text.split(',').flatMap((origin) => origin.trim() || []))
  .refine(
    (all) => all.every(isOrigin),
    'must be origins like https://temporal.example.com, with commas between',
  );

const Settings = z
  .object({
    HOST: z.string().default('127.0.0.1'),
    PORT: wholeNumber(0, PORT_MAX, 3000),
    WORKER_HEALTH_PORT: wholeNumber(0, PORT_MAX, 3001),
    DATABASE_URL: z.string().refine(isPostgresUrl, 'must be a postgres:// or postgresql:// URL').optional(),
    DATA_DIR: z.string().default('.estorno'),
    POLICY_FILE: z.string().default('config/policy.json'),
    PAYLOAD_KEYS: sealingKeys.optional(),
    FRONT_DOOR_KEYS: macKeys.optional(),
    AUDIT_KEYS: macKeys.optional(),
    CODEC_CORS_ORIGINS: origins,
    JWT_ISSUER: z.string().optional(),
    JWT_AUDIENCE: z.string().optional(),
    JWT_JWKS_URL: z
      .string()
      .refine(isTrustedUrl, 'must be an https:// URL; http:// is for loopback alone')
      .transform((text) => new URL(text))
      .optional(),
    JWT_ACTOR_CLAIM: z.string().default('email'),
    JWT_ROLES_CLAIM: z.string().default('roles'),
    RATE_LIMIT_PER_SECOND: wholeNumber(1, RATE_MAX, 100),
    RATE_LIMIT_BURST: wholeNumber(1, RATE_MAX, 500),
    PROVIDER_TIMEOUT_MS: wholeNumber(1, DAY_MS, 10_000),
    PROVIDER_QUIET_MS: wholeNumber(0, 30 * DAY_MS, 900_000),
    CONFIRM_POLL_MS: wholeNumber(1, DAY_MS, 5_000),
    CONFIRM_POLL_MAX_MS: wholeNumber(1, 30 * DAY_MS, 3_600_000),
    RETRY_MAX_MS: wholeNumber(1, DAY_MS, 60_000),
    WEBHOOK_ALLOW_PRIVATE: z.enum(['true', 'false'], 'must be true or false').default('false'),
  })
  .refine((s) => s.CONFIRM_POLL_MAX_MS >= s.CONFIRM_POLL_MS, {
    path: ['CONFIRM_POLL_MAX_MS'],
    message: 'must not be below CONFIRM_POLL_MS',
  })
  .refine((s) => s.RATE_LIMIT_BURST >= s.RATE_LIMIT_PER_SECOND, {
    path: ['RATE_LIMIT_BURST'],
    message: 'must not be below RATE_LIMIT_PER_SECOND',
  })
  .superRefine((s, context) => {
    const missing = IDENTITY_SETTINGS.filter((name) => s[name] === undefined);
    if (missing.length === IDENTITY_SETTINGS.length) return;
    for (const name of missing) {
      context.addIssue({
        code: 'custom',
        path: [name],
        message: `is missing: ${IDENTITY_SETTINGS.join(', ')} go together`,
      });
    }
  });

const ServiceSettings = Settings.safeExtend({
  FRONT_DOOR_KEYS: z
    .string('is missing: the API and all workers need the same, made once as id:$(openssl rand -base64 32)')
    .pipe(macKeys),
});

/** As a browser writes it: no path, no closing slash, no default port. */
function isOrigin(text: string): boolean {
  return (
    URL.canParse(text) &&
    ['http:', 'https:'].includes(new URL(text).protocol) &&
    new URL(text).origin === text
  );
}

function isPostgresUrl(text: string): boolean {
  return URL.canParse(text) && ['postgres:', 'postgresql:'].includes(new URL(text).protocol);
}

/** Who can change what is read there decides who may sign in. */
function isTrustedUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password } = new URL(text);
  if (username !== '' || password !== '') return false;
  return protocol === 'https:' || (protocol === 'http:' && LOOPBACK.has(hostname));
}

interface KeyRingForm {
  readonly plainAllowed: boolean;
  readonly fits: (bytes: number) => boolean;
  readonly size: string;
}

function keyRing(form: KeyRingForm) {
  return z.string().transform((text, context): KeyRing => {
    const entries = text.split(',').map((entry) => entry.trim());
    const acceptsPlain = form.plainAllowed && entries.at(-1) === 'plain';
    if (acceptsPlain) entries.pop();

    const keys: { id: string; secret: Buffer }[] = [];
    const refuse = (message: string) => context.addIssue({ code: 'custom', message });
    if (entries.length === 0) refuse('must hold a key before `plain`');
    for (const [index, entry] of entries.entries()) {
      const match = /^([A-Za-z0-9._-]{1,64}):([A-Za-z0-9+/]+={0,2})$/.exec(entry);
      const id = match?.[1];
      const secret = Buffer.from(match?.[2] ?? '', 'base64');
      if (id === undefined) refuse(`entry ${index + 1} must look like id:base64`);
      else if (keys.some((key) => key.id === id)) refuse(`entry ${index + 1} repeats the id ${id}`);
      else if (!form.fits(secret.length)) refuse(`the key of entry ${index + 1} must be ${form.size}`);
      else keys.push({ id, secret });
    }
    return { keys, acceptsPlain };
  });
}

function readProvider(
  definition: ProviderDefinition,
  given: Readonly<Record<string, string | undefined>>,
): ProviderSetup & { readonly problems: readonly string[] } {
  if (!definition.credentials.some((name) => name in given)) {
    return { definition, settings: null, problems: [] };
  }
  const prefix = providerSettingPrefix(definition.name);
  const own = Object.fromEntries(Object.entries(given).filter(([name]) => name.startsWith(prefix)));
  const parsed = definition.settings.safeParse(own);
  if (parsed.success) return { definition, settings: parsed.data, problems: [] };
  return { definition, settings: null, problems: parsed.error.issues.map(describeIssue) };
}

function describeIssue(issue: z.core.$ZodIssue): string {
  const name = issue.path.map(String).join('.');
  const message = issue.message.endsWith('received undefined') ? 'is missing' : issue.message;
  return name === '' ? message : `${name}: ${message}`;
}
