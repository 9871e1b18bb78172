import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { resolve } from 'node:path';
import { ConfigError, readConfig, readServiceConfig } from './config.js';

const key = (bytes: number) => Buffer.alloc(bytes, 7).toString('base64');

describe('readConfig', () => {
  it('needs nothing: every setting has a default, no provider is on, nothing embedded is named', () => {
    const config = readConfig({});
    expect(config).toMatchObject({
      host: '127.0.0.1',
      port: 3000,
      workerHealthPort: 3001,
      databaseUrl: null,
      dataDir: resolve('.estorno'),
      policyFile: resolve('config/policy.json'),
      temporalGiven: false,
      payloadKeys: null,
      frontDoorKeys: null,
      auditKeys: null,
      identity: null,
      rateLimit: { perSecond: 100, burst: 500 },
      providerTimeoutMs: 10_000,
      providerQuietMs: 900_000,
      confirmPollMs: 5_000,
      confirmPollMaxMs: 3_600_000,
      retryMaxMs: 60_000,
    });
    expect(config.providers.map(({ definition }) => definition.name)).toEqual([
      'picpay',
      'efi',
      'braspag',
      'fourgeeks',
      'pagou',
    ]);
    expect(config.providers.every(({ settings }) => settings === null)).toBe(true);
  });

  it('names every wrong setting in one message', () => {
    const message = refusal({
      PORT: '70000',
      PROVIDER_TIMEOUT_MS: '1.5',
      DATABASE_URL: 'mysql://localhost/x',
      PAYLOAD_KEYS: `a:${key(16)}`,
      PICPAY_CLIENT_ID: 'only-the-id',
      CONFIRM_POLL_MS: 'soon',
    });
    for (const name of [
      'PORT',
      'PROVIDER_TIMEOUT_MS',
      'DATABASE_URL',
      'PAYLOAD_KEYS',
      'PICPAY_CLIENT_SECRET: is missing',
      'CONFIRM_POLL_MS',
    ]) {
      expect(message).toContain(name);
    }
  });

  it('never repeats the value of a setting that it refuses', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[!-~]{12,40}$/), (secret) => {
        const message = refusal({
          PORT: '-1',
          DATABASE_URL: `nothing:${secret}`,
          PAYLOAD_KEYS: `a:${secret}!`,
          FRONT_DOOR_KEYS: `${secret} `,
          AUDIT_KEYS: `b:${secret}:`,
          FOURGEEKS_SECRET_KEY: `${secret} with blanks`,
          PAGOU_BASE_URL: `http://${secret}`,
          PAGOU_API_KEY: `${secret} with blanks`,
        });
        expect(message).not.toContain(secret);
      }),
    );
  });

  it('reads the origins of Temporal UIs, and refuses what no browser would send as one', () => {
    const origins = 'https://temporal.example.com, http://127.0.0.1:8233';
    const config = readConfig({ CODEC_CORS_ORIGINS: origins }, []);
    expect(config.codecCorsOrigins).toEqual(['https://temporal.example.com', 'http://127.0.0.1:8233']);
    expect(readConfig({}, []).codecCorsOrigins).toEqual([]);
    for (const wrong of [
      '*',
      'null',
      'temporal.example.com',
      'https://a.example/',
      'https://a.example:443',
    ]) {
      expect(refusal({ CODEC_CORS_ORIGINS: wrong })).toContain('CODEC_CORS_ORIGINS');
    }
  });

  it('reads key rings in order, with `plain` only as the last entry of PAYLOAD_KEYS', () => {
    const { payloadKeys, auditKeys } = readConfig({
      PAYLOAD_KEYS: `new:${key(32)},old:${key(32)},plain`,
      AUDIT_KEYS: `a:${key(64)}`,
    });
    expect(payloadKeys?.keys.map(({ id }) => id)).toEqual(['new', 'old']);
    expect(payloadKeys?.acceptsPlain).toBe(true);
    expect(auditKeys).toMatchObject({ acceptsPlain: false, keys: [{ id: 'a' }] });
    for (const wrong of [
      'plain',
      `plain,a:${key(32)}`,
      `a:${key(32)},a:${key(32)}`,
      `a:${key(31)}`,
      'a',
      'a:%%%%',
    ]) {
      expect(refusal({ PAYLOAD_KEYS: wrong })).toContain('PAYLOAD_KEYS');
    }
    expect(refusal({ FRONT_DOOR_KEYS: `a:${key(32)},plain` })).toContain('FRONT_DOOR_KEYS');
  });

  it('takes the identity provider whole or not at all, and its keys from nowhere that others can change', () => {
    const whole = { JWT_ISSUER: 'https://id', JWT_AUDIENCE: 'us', JWT_JWKS_URL: 'https://id/keys' };
    expect(readConfig(whole).identity).toEqual({
      issuer: 'https://id',
      audience: 'us',
      jwksUrl: new URL('https://id/keys'),
      actorClaim: 'email',
      rolesClaim: 'roles',
    });
    for (const name of Object.keys(whole)) {
      expect(refusal({ ...whole, [name]: '' })).toContain(`${name}: is missing`);
    }
    expect(refusal({ JWT_ISSUER: 'x' })).toMatch(/JWT_AUDIENCE[^]*JWT_JWKS_URL/);
    for (const url of ['http://id/keys', 'https://u:p@id/keys', 'ftp://id', 'file:///keys', 'keys']) {
      expect(refusal({ ...whole, JWT_JWKS_URL: url })).toMatch(/JWT_JWKS_URL: must be/);
    }
    expect(readConfig({ ...whole, JWT_JWKS_URL: 'http://127.0.0.1:9/keys' }).identity).not.toBeNull();
  });

  it('needs a burst that is no smaller than a second of the rate', () => {
    expect(refusal({ RATE_LIMIT_PER_SECOND: '10', RATE_LIMIT_BURST: '9' })).toContain('RATE_LIMIT_BURST');
    expect(refusal({ RATE_LIMIT_PER_SECOND: '0' })).toContain('RATE_LIMIT_PER_SECOND');
  });

  it('counts an empty value as not given', () => {
    expect(readConfig({ PORT: '', DATABASE_URL: '', PAGOU_API_KEY: '', TEMPORAL_ADDRESS: '' })).toEqual(
      readConfig({}),
    );
  });

  it('switches a provider on by its credentials alone', () => {
    const on = (env: NodeJS.ProcessEnv) =>
      readConfig(env).providers.flatMap(({ definition, settings }) =>
        settings === null ? [] : [definition.name],
      );
    expect(on({ PAGOU_API_KEY: 'k' })).toEqual(['pagou']);
    expect(on({ PAGOU_BASE_URL: 'http://127.0.0.1:9' })).toEqual([]);
  });

  it.each(['TEMPORAL_ADDRESS', 'TEMPORAL_PROFILE', 'TEMPORAL_CONFIG_FILE'])(
    'takes Temporal as given by %s',
    (name) => {
      expect(readConfig({ [name]: 'x' }).temporalGiven).toBe(true);
    },
  );
});

describe('readServiceConfig', () => {
  it('needs FRONT_DOOR_KEYS, says how to make one, and names what else is wrong in the same message', () => {
    const message = refusal({ FRONT_DOOR_KEYS: '', PORT: '70000' }, readServiceConfig);
    expect(message).toMatch(/^ {2}FRONT_DOOR_KEYS: is missing.*openssl rand -base64 32/m);
    expect(message).toContain('PORT');
    expect(refusal({ FRONT_DOOR_KEYS: `a:${key(31)}` }, readServiceConfig)).toContain('at least 32 bytes');
  });

  it('reads all else as the other commands do, and refuses what they refuse', () => {
    const env = { FRONT_DOOR_KEYS: `b:${key(32)},a:${key(33)}`, PORT: '3005' };
    expect(readServiceConfig(env)).toEqual(readConfig(env));
    expect(readServiceConfig(env).frontDoorKeys.keys.map(({ id }) => id)).toEqual(['b', 'a']);
    const confused = { ...env, CONFIRM_POLL_MS: '2', CONFIRM_POLL_MAX_MS: '1' };
    expect(refusal(confused, readServiceConfig)).toContain('CONFIRM_POLL_MAX_MS');
  });
});

function refusal(env: NodeJS.ProcessEnv, read: (env: NodeJS.ProcessEnv) => unknown = readConfig): string {
  try {
    read(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  throw new Error('nothing was refused');
}
