import { pino, stdSerializers, stdTimeFunctions, type DestinationStream, type Logger } from 'pino';

/** Lines of JSON, on standard output unless told. What is secret is cut out by name wherever it is logged. */
export function createLogger(role: string, to?: DestinationStream): Logger {
  const options = {
    base: { role, pid: process.pid },
    timestamp: stdTimeFunctions.isoTime,
    // Temporal's library calls its errors so.
    serializers: { error: stdSerializers.err },
    redact: { paths: REDACTED.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: '[redacted]' },
  };
  return pino(options, to);
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
