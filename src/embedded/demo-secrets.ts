import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What a demo under this data directory has to know again next time, or yesterday's data would be unreadable. */
export interface DemoSecrets {
  readonly PAYLOAD_KEYS: string;
  readonly FRONT_DOOR_KEYS: string;
  readonly AUDIT_KEYS: string;
  /** API keys by role. */
  readonly apiKeys: Readonly<Record<string, string>>;
  /** Origins and credentials of the simulators, so that refunds under way find their provider again. */
  readonly simulators: Readonly<Record<string, string>> | null;
}

/** Random at the first time, kept in a 0600 file. */
export function readDemoSecrets(dataDir: string): DemoSecrets {
  const file = secretsFile(dataDir);
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as DemoSecrets;
  const secrets: DemoSecrets = {
    PAYLOAD_KEYS: newKeyRing(),
    FRONT_DOOR_KEYS: newKeyRing(),
    AUDIT_KEYS: newKeyRing(),
    apiKeys: {},
    simulators: null,
  };
  keepDemoSecrets(dataDir, secrets);
  return secrets;
}

export function keepDemoSecrets(dataDir: string, secrets: DemoSecrets): void {
  const draft = `${secretsFile(dataDir)}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(secrets, null, 2)}\n`, { mode: 0o600 });
  renameSync(draft, secretsFile(dataDir));
}

const KEY_BYTES = 32;

function newKeyRing(): string {
  return `demo:${randomBytes(KEY_BYTES).toString('base64')}`;
}

function secretsFile(dataDir: string): string {
  return join(dataDir, 'demo-secrets.json');
}
