import type { LabReport } from './lab.js';

/** What a person wants to know of a run, line by line; every discrepancy in full. */
export function summarise(
  { storm, stories, recoveryMs, trips, decisions, approvals, discrepancies }: LabReport,
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
      ...[
        name,
        own.length,
        count('succeeded'),
        count('failed'),
        count('reversed'),
        count('rejected'),
        count('expired'),
        count('canceled'),
        count('review'),
        count('pending', 'requires_approval'),
      ],
      ...[reais(sum(own.filter(({ money }) => money === 'refunded'))), moneyOf('api'), moneyOf('panel')],
    ].map(String);
  });
  const heading = ['provider', 'refunds', 'succeeded', 'failed', 'reversed'];
  const people = ['rejected', 'expired', 'canceled', 'review', 'open'];
  const money = ['ledger refunded', 'provider refunded', 'by panel'];
  return [
    ...table([[...heading, ...people, ...money], ...rows]),
    '',
    ...reviews(refunds),
    `Clients: ${storm.asks.length} keys, ${storm.repeats} requests repeated after a 503 or a broken connection`,
    ...peopleIn(approvals),
    `Kills: ${counts(storm.disturbances)}`,
    ...lost(storm.losses),
    `Faults: ${total(storm.faults)} in all; ${counts(storm.faults)}`,
    `Webhooks besides the providers' own: ${storm.webhooks.sent} sent, ${storm.webhooks.accepted} answered 200; ${storm.webhooks.forged} forged, ${storm.webhooks.forgedAccepted} of them taken`,
    `Panel refunds: ${storm.panelRefunds}`,
    `Kill switch: pulled by the service and released ${trips.length} times; reviews ended by an operator: ${counts(countBy(decisions.map(({ outcome }) => outcome)))}`,
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
  const reasons = refunds.flatMap(({ status, reason }) => (status === 'review' ? (reason ?? []) : []));
  return [...countBy(reasons)].map(([reason, count]) => `In review: ${count} × ${reason}`);
}

function peopleIn({ courses, votes, messages, repeats }: LabReport['approvals']): string[] {
  const waited = [...courses.values()].filter(({ rounds }) => rounds.length > 0);
  const rounds = waited.flatMap((course) => course.rounds);
  const ends = rounds.map(({ closed }) => (closed?.as === 'pending' ? 'approved' : (closed?.as ?? 'open')));
  const done = messages.filter(({ answer }) => answer?.status === 200);
  const counted = done.filter(({ contentHash }) => contentHash !== null);
  const different = new Set(
    counted.map(({ actor, action, contentHash }) => `${actor} ${action} ${contentHash}`),
  );
  const refused = messages.flatMap(({ action, answer }) => (answer?.code ? `${action} ${answer.code}` : []));
  const canceled = [...courses.values()].flatMap(({ canceledWhile }) => canceledWhile ?? []);
  return [
    `Approvals: ${waited.length} refunds needed votes, ${rounds.length - waited.length} of them twice: ${counts(countBy(ends))}; ${done.filter(({ action }) => action === 'extend').length} extended`,
    `Votes: ${counted.length} answered 200, ${different.size} of them different; ${votes.length} are in the ledger; ${repeats} messages repeated after a 503 or a broken connection`,
    `Refused to people: ${counts(countBy(refused))}`,
    `Canceled: ${canceled.length}; by what they waited for: ${counts(countBy(canceled))}`,
  ];
}

function lost(losses: LabReport['storm']['losses']): string[] {
  if (!losses) return [];
  const { terminated, orphaned, takenUpMs } = losses;
  return [
    `Workflows lost: ${terminated} terminated, then all wiped; the ${orphaned} refunds open then ran again after ${(takenUpMs / 1000).toFixed(1)} s`,
  ];
}

function countBy(names: readonly string[]): Map<string, number> {
  const counted = new Map<string, number>();
  for (const name of names) counted.set(name, (counted.get(name) ?? 0) + 1);
  return counted;
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
