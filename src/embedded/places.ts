import type { TemporalPlace } from './temporal.js';

/** What `npm start` has brought up. */
export interface Started {
  readonly apiOrigin: string;
  readonly workerOrigin: string;
  /** By role; null where the database is not ours to write keys into. */
  readonly apiKeys: Readonly<Record<string, string>> | null;
  readonly temporal: TemporalPlace | null;
  /** Null where the simulators are off. */
  readonly controlOrigin: string | null;
}

/** Where everything is, how to get in, and one command to try. */
export async function printPlaces(
  started: Started,
  dataDir: string,
  print: (line: string) => void,
): Promise<void> {
  const { apiOrigin, workerOrigin, temporal, apiKeys } = started;
  print('');
  print(`API          ${apiOrigin}   documentation ${apiOrigin}/docs`);
  print(`Worker       ${workerOrigin}/health/ready`);
  if (temporal?.uiUrl) print(`Temporal UI  ${temporal.uiUrl}`);
  print(
    temporal && apiKeys
      ? '             histories are sealed; this UI has them opened'
      : `             histories are sealed; to read them set its codec server to ${apiOrigin}/codec (role operator)`,
  );
  print(`Data, logs   ${dataDir}`);
  if (started.controlOrigin !== null) {
    print(`Simulators   ${started.controlOrigin}/books   (faults on demand)`);
  }
  if (apiKeys === null) {
    print('API keys     npm run -s key -- create --actor NAME --role ROLE');
  } else {
    print('Demo API keys (of this machine alone)');
    for (const [role, key] of Object.entries(apiKeys)) print(`  ${role.padEnd(10)} ${key}`);
    print('Try');
    print(`  ${await commandToTry(started, apiKeys)}`);
  }
  print('');
  print('Ctrl-C stops everything; the data stays.');
}

/** A refund of a payment that the simulators have just made; without them, a look at what there is. */
async function commandToTry(
  { apiOrigin, controlOrigin }: Started,
  apiKeys: Readonly<Record<string, string>>,
): Promise<string> {
  if (controlOrigin === null) {
    return `curl -s -H 'Authorization: Bearer ${apiKeys['viewer']}' '${apiOrigin}/v1/refunds?limit=5'`;
  }
  const body = JSON.stringify({ provider: 'pagou', amountMinor: 25_000 });
  const made = await fetch(`${controlOrigin}/payments`, { method: 'POST', body });
  const { providerPaymentId } = (await made.json()) as { providerPaymentId: string };
  const refund = {
    provider: 'pagou',
    provider_payment_id: providerPaymentId,
    amount: 9_900,
    reason: 'requested_by_customer',
  };
  return [
    `curl -s ${apiOrigin}/v1/refunds -H 'Authorization: Bearer ${apiKeys['requester']}'`,
    `-H 'Idempotency-Key: first-try-${providerPaymentId.slice(0, 8)}' -H 'Content-Type: application/json'`,
    `-d '${JSON.stringify(refund)}'`,
  ].join(' ');
}
