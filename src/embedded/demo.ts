import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';

export interface DemoPlaces {
  readonly apiOrigin: string;
  /** An API key with the role `requester`. */
  readonly requesterKey: string;
  /** Of the simulators. */
  readonly controlOrigin: string;
  readonly temporalUiUrl: string | null;
  readonly namespace: string;
  readonly providers: readonly string[];
}

/**
 * One refund through each provider, all at once, with a live line each and a table at the end.
 * @returns whether every one of them succeeded.
 */
export async function runDemo(places: DemoPlaces, print: (line: string) => void): Promise<boolean> {
  print(`Sending one refund through each of ${places.providers.length} providers`);
  const rows = places.providers.map((provider): Row => ({
    provider,
    refundId: null,
    state: 'starting',
    elapsedMs: 0,
    link: '',
  }));
  const show = liveLines(rows, print);
  await Promise.all(rows.map((row) => refundOnce(places, row, show)));
  show.finish();
  print('');
  for (const line of table(rows)) print(line);
  return rows.every((row) => row.state === 'succeeded');
}

const PATIENCE_MS = 120_000;
const LOOK_EVERY_MS = 150;
const CALL_TIMEOUT_MS = 15_000;
/** Below every rule of the shipped policy: nobody is there to approve. */
export const DEMO_AMOUNT_MINOR = 12_345;
const UNFINISHED = new Set(['pending']);

interface Row {
  readonly provider: string;
  refundId: string | null;
  state: string;
  elapsedMs: number;
  link: string;
}

interface SimulatedPayment {
  readonly providerPaymentId: string;
  readonly providerPaymentReference?: string;
  readonly refreshToken?: string;
  readonly amountMinor: number;
  readonly currency: string;
  readonly method: string;
  readonly paidAt: string;
}

interface RefundAnswer {
  readonly id: string;
  readonly status: string;
  readonly pending_reason: string | null;
  readonly failure_reason: string | null;
  readonly workflow_id: string;
}

async function refundOnce(places: DemoPlaces, row: Row, show: Show): Promise<void> {
  const startedAtMs = Date.now();
  const see = (state: string) => {
    row.state = state;
    row.elapsedMs = Date.now() - startedAtMs;
    show(row);
  };
  try {
    const paymentId = await registerPayment(places, row.provider);
    let refund = await callApi<RefundAnswer>(places, 'POST', '/v1/refunds', {
      payment_id: paymentId,
      reason: 'requested_by_customer',
    });
    row.refundId = refund.id;
    row.link = uiLink(places, refund.workflow_id);
    see(describe(refund));
    while (UNFINISHED.has(refund.status) && Date.now() - startedAtMs < PATIENCE_MS) {
      await pause(LOOK_EVERY_MS);
      refund = await callApi<RefundAnswer>(places, 'GET', `/v1/refunds/${refund.id}`);
      see(describe(refund));
    }
  } catch (error) {
    see(`not sent: ${(error as Error).message}`);
  }
}

async function registerPayment(places: DemoPlaces, provider: string): Promise<string> {
  const payment = await call<SimulatedPayment>(`${places.controlOrigin}/payments`, {
    method: 'POST',
    body: JSON.stringify({ provider, amountMinor: DEMO_AMOUNT_MINOR }),
  });
  const registered = await callApi<{ id: string }>(places, 'POST', '/v1/payments', {
    provider,
    provider_payment_id: payment.providerPaymentId,
    amount: payment.amountMinor,
    currency: payment.currency,
    method: payment.method,
    paid_at: payment.paidAt,
    ...(payment.providerPaymentReference === undefined
      ? {}
      : { provider_payment_reference: payment.providerPaymentReference }),
    ...(payment.refreshToken === undefined
      ? {}
      : { provider_credentials: { refresh_token: payment.refreshToken } }),
  });
  return registered.id;
}

function callApi<T>(places: DemoPlaces, method: 'GET' | 'POST', path: string, body?: object): Promise<T> {
  return call<T>(places.apiOrigin + path, {
    method,
    headers: {
      authorization: `Bearer ${places.requesterKey}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json', 'idempotency-key': randomUUID() }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

async function call<T>(url: string, request: RequestInit): Promise<T> {
  const response = await fetch(url, { ...request, signal: AbortSignal.timeout(CALL_TIMEOUT_MS) });
  const text = await response.text();
  if (!response.ok) {
    throw new Error(
      `${request.method} ${new URL(url).pathname} answered ${response.status} ${text.slice(0, 300)}`,
    );
  }
  return JSON.parse(text) as T;
}

function describe(refund: RefundAnswer): string {
  const reason = refund.pending_reason ?? refund.failure_reason;
  return reason === null ? refund.status : `${refund.status} (${reason})`;
}

function uiLink(places: DemoPlaces, workflowId: string): string {
  if (places.temporalUiUrl === null) return '';
  return `${places.temporalUiUrl}/namespaces/${places.namespace}/workflows/${encodeURIComponent(workflowId)}`;
}

interface Show {
  (row: Row): void;
  finish(): void;
}

/** On a terminal the lines are rewritten in place; elsewhere each change is a new line. */
function liveLines(rows: readonly Row[], print: (line: string) => void): Show {
  const line = (row: Row) =>
    `  ${row.provider.padEnd(10)} ${seconds(row.elapsedMs).padStart(7)}  ${row.state}`;
  if (!process.stdout.isTTY) {
    const shown = new Map<string, string>();
    const show = (row: Row) => {
      if (shown.get(row.provider) !== row.state) print(line(row));
      shown.set(row.provider, row.state);
    };
    return Object.assign(show, { finish: () => undefined });
  }
  const width = process.stdout.columns || 80;
  const draw = () => rows.forEach((row) => process.stdout.write(`\x1b[2K${line(row).slice(0, width - 1)}\n`));
  draw();
  const redraw = () => {
    process.stdout.write(`\x1b[${rows.length}A`);
    draw();
  };
  return Object.assign(redraw, { finish: redraw });
}

function table(rows: readonly Row[]): string[] {
  const heading = ['provider', 'refund', 'status', 'time', 'in Temporal'];
  const cells = [
    heading,
    ...rows.map((row) => [row.provider, row.refundId ?? '-', row.state, seconds(row.elapsedMs), row.link]),
  ];
  const widths = heading.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? '').length)));
  return cells.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
