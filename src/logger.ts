import { pino, stdTimeFunctions, type Logger } from 'pino';

/** Lines of JSON on standard output. What is secret is cut out by name wherever it is logged. */
export function createLogger(role: string): Logger {
  return pino({
    base: { role, pid: process.pid },
    timestamp: stdTimeFunctions.isoTime,
    redact: { paths: REDACTED.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: '[redacted]' },
  });
}

const REDACTED = [
  'authorization',
  'Authorization',
  'cookie',
  'password',
  'secret',
  'token',
  'key',
  'databaseUrl',
  'accessToken',
  'access_token',
  'refreshToken',
  'refresh_token',
  'clientSecret',
  'client_secret',
  'merchantKey',
  'secretKey',
  'apiKey',
  'provider_credentials',
];
