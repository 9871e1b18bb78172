import type { LabReport } from './lab.js';

/** What a person wants to know of a run, line by line; every discrepancy in full. */
export function summarise(
  { storm, stories, recoveryMs, discrepancies }: LabReport,
  command: string,
): string[] {
  const refunds = stories.flatMap(({ provider, refunds }) =>
    refunds.map((refund) => ({ provider, ...refund })),
  );
  const providers = [...new Set(stories.map(({ provider }) => provider))].sort();
  const rows = [...providers, 'all'].map((name) => {
    const isOf = ({ provider }: { provider: string }): boolean => name === 'all' || provider === name;
    const own = refunds.filter(isOf);
    const count = (...statuses: string[]): number =>
      own.filter(({ status }) => statuses.includes(status)).length;
    const shown = stories.filter(isOf).flatMap(({ shown }) => shown);
    const moneyOf = (origin: string): string =>
      reais(sum(shown.filter((entry) => entry.origin === origin && entry.status === 'succeeded')));
    return [
      ...[name, own.length, count('succeeded'), count('failed'), count('review'), count('pending')],
      ...[reais(sum(own.filter(({ money }) => money === 'refunded'))), moneyOf('api'), moneyOf('panel')],
    ].map(String);
  });
  const heading = ['provider', 'refunds', 'succeeded', 'failed', 'review', 'pending'];
  const money = ['ledger refunded', 'provider refunded', 'by panel'];
  return [
    ...table([[...heading, ...money], ...rows]),
    '',
    ...reviews(refunds),
    `Clients: ${storm.asks.length} keys, ${storm.repeats} requests repeated after a 503 or a broken connection`,
    `Kills: ${counts(storm.disturbances)}`,
    `Faults: ${total(storm.faults)} in all; ${counts(storm.faults)}`,
    `Webhooks besides the providers' own: ${storm.webhooks.sent} sent, ${storm.webhooks.accepted} answered 200; ${storm.webhooks.forged} forged, ${storm.webhooks.forgedAccepted} of them taken`,
    `Panel refunds: ${storm.panelRefunds}`,
    `The storm lasted ${(storm.lastedMs / 1000).toFixed(1)} s; the backlog was gone ${
      recoveryMs === null ? 'NEVER' : `${(recoveryMs / 1000).toFixed(1)} s`
    } after the last restart`,
    `The same again: ${command}`,
    '',
    ...discrepancies.map(({ kind, subject, detail }) => `DISCREPANCY ${kind}: ${subject}: ${detail}`),
    discrepancies.length === 0 ? 'The books agree.' : `${discrepancies.length} discrepancies.`,
  ];
}

function reviews(refunds: readonly { status: string; reason: string | null }[]): string[] {
  const byReason = new Map<string, number>();
  for (const { status, reason } of refunds) {
    if (status !== 'review' || reason === null) continue;
    byReason.set(reason, (byReason.get(reason) ?? 0) + 1);
  }
  return [...byReason].map(([reason, count]) => `In review: ${count} × ${reason}`);
}

function counts(of: ReadonlyMap<string, number>): string {
  return [...of]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');
}

function total(of: ReadonlyMap<string, number>): number {
  return [...of.values()].reduce((all, count) => all + count, 0);
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  return rows.map((row) => row.map((cell, column) => cell.padStart(widths[column] ?? 0)).join('  '));
}

function reais(amountMinor: number): string {
  return (amountMinor / 100).toFixed(2);
}

function sum(entries: readonly { readonly amountMinor: number }[]): number {
  return entries.reduce((all, { amountMinor }) => all + amountMinor, 0);
}
